"""Answers of the Runtime API, with the field names of the clients; no field but `status_detail` is ever null.

Sources: openhands_workspace 1.58.2 (`APIRemoteWorkspace`), openhands_ai 1.11.0 (`remote_sandbox_service`), and
`RemoteRuntime` of OpenHands before its version 1.
"""

from typing import Literal

from pydantic import BaseModel, Field

from sandbox_common.reasons import Lifecycle, PodStatus


class ContainerStatus(BaseModel):
    """The agent server's container."""

    name: str
    ready: bool
    restart_count: int
    reason: str
    message: str


class Event(BaseModel):
    """What is going on with the sandbox."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class RuntimeResponse(BaseModel):
    """A sandbox."""

    runtime_id: str = Field(description="Name of the sandbox, a DNS label; the same over pause and resume.")
    session_id: str = Field(description="The client's handle, as it was sent.")
    url: str = Field(description="Where the agent server is reached: scheme and host, without a trailing slash.")
    session_api_key: str = Field(
        description="For the header X-Session-API-Key; the same over pause and resume. Empty in lists for the first "
        "moments of a start, while it is open whether a warm pod is there, which brings its key."
    )
    status: Lifecycle = Field(description="Lifecycle of the sandbox.")
    pod_status: PodStatus = Field(description="`ready` once the gateway has reached the agent server.")
    status_detail: str | None = Field(
        default=None,
        description="What is wrong, in one line: `pod_logs` with Kubernetes' usual words for it, such as "
        "`Insufficient memory`. Null when nothing is.",
    )
    restart_count: int = Field(
        description="Restarts of the agent server in the present pod, and pods that the sandbox has lost."
    )
    restart_reasons: list[str] = Field(
        description="Why the agent server was last restarted, and why the last pod was lost; empty if none was."
    )
    container_statuses: list[ContainerStatus] = Field(description="Empty while there is no pod.")
    events: list[Event] = Field(
        description="Why it is not ready, whether a paused one keeps its workspace, what it has lost, when it will be "
        "deleted, and which fields of a /start were not applied."
    )
    pod_logs: str = Field(description="`Reason: message` of what is wrong, such as `ImagePullBackOff: …`, else empty.")
    work_hosts: dict[str, int] = Field(
        description="URLs of what its programs serve, each with the port on which they are to listen; empty in "
        "header mode."
    )
    image: str = Field(description="The image it was started with.")


class ListResponse(BaseModel):
    """The sandboxes of an API key that start or run."""

    runtimes: list[RuntimeResponse] = Field(description="The oldest first.")
    total: int = Field(description="How many there are.")


class StopResponse(BaseModel):
    """A sandbox that is gone."""

    runtime_id: str
    session_id: str
    status: Literal["stopped"] = "stopped"


class Evidence(BaseModel):
    """Something that was observed."""

    source: Literal["condition", "launch", "loss", "event", "log"] = Field(
        description="A condition of the Sandbox, how its pod came to be (claimed from a pool, or why not), what it has "
        "lost without being asked to, a Kubernetes Event, or the last lines of the agent server's log."
    )
    text: str
    time: str = Field(description="RFC 3339; empty when it is not known.")


class ExplainResponse(BaseModel):
    """Why a sandbox is as it is."""

    runtime_id: str
    status: Lifecycle
    pod_status: PodStatus
    reason: str = Field(description="One word for the cause, as in the condition `Ready` of the Sandbox.")
    cause: str
    evidence: list[Evidence] = Field(
        description="Conditions first, then the launch, losses, the log, and Events, the newest first."
    )
    remedy: str = Field(description="What a person can do; empty when there is nothing to do.")


class RegistryPrefixResponse(BaseModel):
    """Where clients put the images that they build."""

    registry_prefix: str


class ImageFacts(BaseModel):
    """What the registry tells of an image."""

    upload_time: str = Field(description="When it was built, RFC 3339; empty when it is not known.")
    image_size_bytes: int = Field(description="Compressed size for linux/amd64, if there is one; 0 when not known.")


class ImageExistsResponse(BaseModel):
    """Whether an image can be pulled."""

    exists: bool = Field(description="Also true when it is not known: the nodes may have credentials for it.")
    known: bool = Field(description="Whether the registry was asked and has said so.")
    detail: str = Field(description="How it is known, or why it is not.")
    image: ImageFacts


class WarmRuntimeConfig(BaseModel):
    """What the pods of one pool run, in the fields of /start."""

    name: str = Field(description="Name of the SandboxPool.")
    image: str
    command: list[str]
    environment: dict[str, str] = Field(description="Variables of all that the pool's pods run; no secrets.")
    working_dir: str
    run_as_user: int
    run_as_group: int
    fs_group: int


class WarmRuntimeConfigsResponse(BaseModel):
    """The pools of warm sandboxes."""

    configs: list[WarmRuntimeConfig] = Field(description="By name.")


class ErrorResponse(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="In words, naming the field if it is one.")

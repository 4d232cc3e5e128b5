"""Answers of the Runtime API, with the field names of the clients. Only `status_detail` may be null.

Sources: openhands_workspace 1.58.2 (`APIRemoteWorkspace`), openhands_ai 1.11.0 (`remote_sandbox_service`), and
`RemoteRuntime` of OpenHands before its version 1.
"""

from typing import Literal

from pydantic import BaseModel, Field

from sandbox_common.reasons import Lifecycle, PodStatus
from sandbox_crds.models import Launch

# fmt: off
Step = Literal[
    "asked", "queued", "woken", "scheduled", "pulling", "booting", "ready", "idle", "suspended", "lost", "failed",
    "ended",
]
# fmt: on
"""A step of a sandbox's life; of two at the same time, the first one here comes first."""
Source = Literal["sandbox", "condition", "pod", "event"]
"""Who tells of a step; the first one here is trusted most."""


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

    runtime_id: str = Field(description="Name of the sandbox, a DNS label; pause and resume keep it.")
    session_id: str = Field(description="The client's name for the sandbox, as sent.")
    url: str = Field(description="URL of the agent server: scheme and host, without a trailing slash.")
    session_api_key: str = Field(
        description="For the header X-Session-API-Key; pause and resume keep it. Empty in lists during the first "
        "moments of a start, until it is decided whether a warm pod, which has its own key, is used. Empty in "
        "`/events`, and for sandboxes of other owners."
    )
    status: Lifecycle = Field(description="Lifecycle of the sandbox.")
    pod_status: PodStatus = Field(description="`ready` once the gateway has reached the agent server.")
    status_detail: str | None = Field(
        default=None,
        description="The problem in one line: `pod_logs` with Kubernetes' usual words for it, such as "
        "`Insufficient memory`. Null if there is none.",
    )
    restart_count: int = Field(
        description="Number of restarts of the agent server in the current pod, plus pods that the sandbox lost."
    )
    restart_reasons: list[str] = Field(
        description="Causes of the agent server's last restart and of the last loss of a pod, if any."
    )
    container_statuses: list[ContainerStatus] = Field(description="Empty while there is no pod.")
    events: list[Event] = Field(
        description="Why it is not ready, whether a paused sandbox keeps its workspace, what it lost, when it will be "
        "deleted, and which fields of a /start were not applied."
    )
    pod_logs: str = Field(description="`Reason: message` of the problem, such as `ImagePullBackOff: …`, else empty.")
    work_hosts: dict[str, int] = Field(
        description="URLs of its web servers, each with the port where they must listen; empty in header mode, and for "
        "sandboxes of other owners."
    )
    image: str = Field(description="The image it was started with.")
    owner: str = Field(description="Owner of the API key that started it.")
    sandbox_class: str = Field(description="Its SandboxClass.")
    reason: str = Field(description="Its state in one word, as in `/explain`.")
    since: str = Field(
        description="When it became ready, or stopped being so, RFC 3339: for a paused one, since when it is paused. "
        "Empty if the operator has not seen it yet."
    )
    launch: Launch = Field(description="How its pod was made, as in `/explain`.")
    pool: str = Field(description="SandboxPool of its pod; empty unless `launch` is `Warm`.")
    created_at: str = Field(description="When it was first started, RFC 3339.")


class ListResponse(BaseModel):
    """The owner's sandboxes that are starting or running."""

    runtimes: list[RuntimeResponse] = Field(description="The oldest first.")
    total: int = Field(description="Number of sandboxes.")


class StopResponse(BaseModel):
    """A sandbox that is gone."""

    runtime_id: str
    session_id: str
    status: Literal["stopped"] = "stopped"


class HistoryStep(BaseModel):
    """One step of a sandbox's life."""

    step: Step = Field(
        description="`asked`: it was first started. `booting`: the agent server's container began. `woken`: a pod was "
        "made for a resume. `lost`: its pod or volume was lost. `ended`: the agent server ended."
    )
    time: str = Field(description="When it began, RFC 3339; often in whole seconds.")
    seconds: float = Field(description="Seconds until the next step, or until now.")
    source: Source = Field(
        description="Who says so: the Sandbox, its condition `Ready`, its present pod, or a Kubernetes Event."
    )
    detail: str = Field(description="More about it, such as the image or the node; may be empty.")


class HistoryResponse(BaseModel):
    """The life of a sandbox, as far as Kubernetes still knows it."""

    runtime_id: str
    steps: list[HistoryStep] = Field(description="The oldest first; at most 200.")
    incomplete: str = Field(description="What could not be read; empty if everything was.")


class PoolState(BaseModel):
    """A pool of warm sandboxes."""

    name: str = Field(description="Name of the SandboxPool.")
    sandbox_class: str = Field(description="Its SandboxClass.")
    image: str
    wanted: int = Field(description="Free pods that it should have.")
    free: int = Field(description="Free pods that a start can get, some seconds ago.")
    starting: int = Field(description="Free pods that start.")
    failing: int = Field(description="Free pods that fail to start.")
    claimed: int = Field(description="Its pods that run sandboxes, of those that the API key may see.")
    reason: str = Field(description="Its state in one word; empty if unknown.")
    message: str


class PoolMisses(BaseModel):
    """Sandboxes whose first start found no warm pod, by the reason."""

    reason: str = Field(description="In one word, as in `openhands_sandbox_pool_misses_total`.")
    count: int
    details: list[str] = Field(description="What differed, each once; at most 10.")


class PoolsResponse(BaseModel):
    """Pools, and how the sandboxes that still exist have started."""

    pools: list[PoolState] = Field(description="By name.")
    hits: int = Field(description="Sandboxes whose present pod came from a pool.")
    misses: list[PoolMisses] = Field(description="The most frequent first.")


class LimitsResponse(BaseModel):
    """The limits of an owner, with the names that they have in the policies of API keys."""

    owner: str
    limits: dict[str, int] = Field(description="All limits that are set, the strictest of all keys of the owner.")
    used: dict[str, int] = Field(description="What counts for `running` and `sandboxes`.")
    left: dict[str, int] = Field(description="The difference, of those of both that are limited.")
    queued: int = Field(description="Sandboxes that wait for room.")


class RegistryPrefixResponse(BaseModel):
    """Registry and path for the images that clients build."""

    registry_prefix: str


class ImageFacts(BaseModel):
    """What the registry says about an image."""

    upload_time: str = Field(description="When it was built, RFC 3339; empty if unknown.")
    image_size_bytes: int = Field(description="Compressed size, for linux/amd64 if available; 0 if unknown.")


class ImageExistsResponse(BaseModel):
    """Whether an image can be pulled."""

    exists: bool = Field(description="Also true if unknown, because the nodes may have credentials for it.")
    known: bool = Field(description="Whether the registry answered.")
    detail: str = Field(description="The source of this knowledge, or why it is unknown.")
    image: ImageFacts


class WarmRuntimeConfig(BaseModel):
    """What the pods of one pool run, as fields of /start."""

    name: str = Field(description="Name of the SandboxPool.")
    ready: int = Field(description="Number of its pods that a start can get, some seconds ago.")
    image: str
    command: list[str]
    environment: dict[str, str] = Field(description="Environment variables of the pool's pods; no secrets.")
    working_dir: str
    run_as_user: int
    run_as_group: int
    fs_group: int


class WarmRuntimeConfigsResponse(BaseModel):
    """The pools of warm sandboxes."""

    configs: list[WarmRuntimeConfig] = Field(description="By name.")


class UsageTotal(BaseModel):
    """Whole numbers. What was requested is multiplied by the seconds for which it was requested."""

    running_seconds: int = Field(description="Seconds in which sandboxes had a pod on a node.")
    suspended_seconds: int = Field(description="Seconds in which sandboxes were paused.")
    cpu_millicore_seconds: int = Field(description="CPU requests of these pods; 3600000 are one core for an hour.")
    memory_mebibyte_seconds: int = Field(description="Memory requests of these pods; 3686400 are one GiB for an hour.")
    storage_mebibyte_seconds: int = Field(description="Sizes of workspace volumes, those of paused sandboxes too.")
    cold_starts: int = Field(description="First pods that were made for a sandbox.")
    warm_starts: int = Field(description="Pods that were claimed from a pool.")
    resumes: int = Field(description="Further pods of a sandbox.")


class DayUsage(UsageTotal):
    """What one class of sandboxes used on one day."""

    date: str = Field(description="Day in UTC, such as 2026-01-31.")
    class_name: str = Field(description="SandboxClass; `*` for all beyond the first 15 of a day.")


class UsageResponse(BaseModel):
    """What an owner's sandboxes have used."""

    through: str = Field(description="The present time, until which everything counts. RFC 3339.")
    total: UsageTotal = Field(description="Sum of all rows.")
    days: list[DayUsage] = Field(description="By day and class, the oldest first. Days without use are omitted.")


class ErrorResponse(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="A sentence that names the wrong field, if there is one.")

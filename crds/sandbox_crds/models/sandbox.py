"""`Sandbox`: one OpenHands agent server, with its desired state (spec) and observed state (status)."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from sandbox_crds.image_references import PATTERN
from sandbox_crds.models.base import Metadata, Model, Shared, rules
from sandbox_crds.models.service_ports import ServicePorts
from sandbox_crds.names import SANDBOX_NAME, SERVICE_PREFIX, SERVICES

IMMUTABLE = rules(("self == oldSelf", "is immutable"))

NAME_RULE = rules(
    (
        f"self.metadata.name.matches('{SANDBOX_NAME}')",
        "metadata.name must be a DNS label of at most 50 characters that starts with a letter: it becomes a host name",
    ),
    (
        # Only for new Sandboxes: an older one with such a name must still be reported, suspended and changed.
        f"oldSelf.hasValue() || !self.metadata.name.matches('{SERVICE_PREFIX}')",
        f"metadata.name must not begin with {', '.join(f'{service}-' for service in SERVICES)}: hosts so named are "
        "services of other sandboxes",
    ),
)


Launch = Literal["", "Cold", "Warm", "Resume"]
"""How a pod was made: for a first start, from a pool, or for a resume. Empty without a pod."""


class KeySelector(Model):
    """A key of a Secret or ConfigMap."""

    name: str = Field(max_length=253)
    key: str = Field(max_length=253)
    optional: bool | None = None


class EnvVarSource(Model):
    """Source of the value."""

    secret_key_ref: KeySelector | None = None
    config_map_key_ref: KeySelector | None = None


class EnvVar(Model):
    """As in a container's `env`."""

    name: str = Field(min_length=1, max_length=256)
    value: str | None = Field(None, max_length=32768)
    value_from: EnvVarSource | None = None


LARGEST_IMAGE = 2**50
"""Bytes: more than any image has, so that no sum of theirs overflows."""
LONGEST_START = 604800
"""A week, in seconds: upper bound of the time limits of a start."""
COMMAND_BYTES = 32 * 1024
"""Upper bound of all words of a command together. /start counts bytes before it doubles each `$` for Kubernetes. The
API server counts characters afterwards, so its bound is twice as large."""
ENV_CHARACTERS = 128 * 1024
"""Upper bound of all names and values of `env` together. The environment that clients send is not part of it."""
Command = Annotated[
    list[Annotated[Shared, Field(max_length=8192)]],
    Field(
        max_length=128,
        json_schema_extra=rules(
            (f"self.map(w, size(w)).sum() <= {2 * COMMAND_BYTES}", f"has more than {2 * COMMAND_BYTES} characters")
        ),
    ),
]
ENV_RULES = rules(
    ("self.all(e, !(has(e.value) && has(e.valueFrom)))", "an entry may have value or valueFrom, not both"),
    (
        f"self.map(e, size(e.name) + (has(e.value) ? size(e.value) : 0)).sum() <= {ENV_CHARACTERS}",
        f"has more than {ENV_CHARACTERS} characters",
    ),
)
ResourceFactor = Literal[1, 2, 4, 8]
UserId = Annotated[int, Field(ge=1, le=2147483647)]
GroupId = Annotated[int, Field(ge=0, le=2147483647)]
PullPolicy = Literal["IfNotPresent", "Always", "Never"]


class SandboxSpec(Model):
    """The desired state. Changes other than `suspend` take effect when the next pod is made."""

    image: Shared = Field(
        min_length=1,
        max_length=1024,
        description="Container image with an OpenHands agent server.",
        # Only in the schema: the model must still read objects that are older than this rule.
        json_schema_extra={"pattern": PATTERN},
    )
    command: Command = Field(
        default=[],
        description=(
            "Entry point and arguments. Default: /usr/local/bin/openhands-agent-server on port 60000. "
            "Without `--port` the port is 8000."
        ),
    )
    working_dir: Shared = Field(
        default="",
        max_length=4096,
        description="Working directory. Created if missing and below /workspace.",
    )
    env: list[EnvVar] = Field(
        default=[],
        max_length=256,
        description="Environment variables. The operator ignores names that it sets itself.",
        json_schema_extra=ENV_RULES,
    )
    environment_hash: str = Field(
        default="",
        max_length=64,
        description="Set by the gateway: keyed hash of the client's environment.",
    )
    environment_revision: str = Field(
        default="",
        max_length=16,
        pattern="^[0-9a-f]*$",
        description="Set by the gateway: suffix of the environment Secret's name.",
    )
    class_name: Shared = Field(default="default", max_length=253, description="SandboxClass of the pod.")
    resource_factor: ResourceFactor = Field(
        default=1, description="Multiplies the class's requests and limits, except extended resources."
    )
    run_as_user: UserId = Field(default=10001, description="User id of the process; never root.")
    run_as_group: GroupId = Field(
        default=10001, description="Group id of the process. 0 needs `pod.allowRootGroup` of the class."
    )
    fs_group: GroupId = Field(
        default=10001, description="Group that owns the workspace volume. 0 needs `pod.allowRootGroup` of the class."
    )
    runtime_class_name: str = Field(
        default="",
        max_length=253,
        description="Runtime class. Ignored unless `runtimeClasses` of the class has it.",
    )
    image_pull_policy: PullPolicy = Field(default="IfNotPresent", description="When the kubelet pulls the image.")
    warm_start: Literal["Allowed", "Never"] = Field(
        default="Allowed",
        description=(
            "Allowed: the first pod may come from a pool, with its own session key. The gateway writes Never once a "
            "client has the key of a cold start."
        ),
    )
    suspend: bool = Field(default=False, description="True deletes the pod. Keys and a persistent workspace stay.")
    suspend_reason: Literal["", "Requested", "Idle", "StartTimeout"] = Field(
        default="",
        description="Set with `suspend`. A request wakes a sandbox that is Idle.",
    )
    idle_timeout_seconds: int | None = Field(
        default=None,
        ge=0,
        le=31536000,
        description=(
            "Seconds of inactivity before suspension; 0 disables. Default: the class's value, also the "
            "maximum for sandboxes that have an owner."
        ),
    )
    pending_timeout_seconds: int | None = Field(
        default=None,
        ge=0,
        le=LONGEST_START,
        description="Seconds before a delayed start is reported as failed; 0: never. Default: the class's value.",
    )
    maximum_life_seconds: int | None = Field(
        default=None,
        ge=0,
        le=315360000,
        description="Age in seconds at which it is deleted; 0: never. Default: the class's value.",
    )
    restarted_at: str = Field(
        default="",
        max_length=32,
        description="RFC 3339. An older pod is replaced. Keys and volume stay.",
        json_schema_extra=rules(
            ("self == '' || self.matches('^[0-9-]{10}T[0-9:]{8}Z$')", "must be a time such as 2026-01-31T12:00:00Z")
        ),
    )
    service_ports: ServicePorts = Field(
        default=ServicePorts(),
        description=(
            "Overrides the class's ports of VSCode and web servers; 0: not reachable. The gateway takes them from the "
            "client's OH_VSCODE_PORT, WORKER_1 and WORKER_2."
        ),
    )
    service: Literal["None", "Headless"] = Field(
        default="Headless", description="Headless: a Service of this name, for clients in the cluster."
    )
    session_id: str = Field(
        default="",
        alias="sessionID",
        max_length=1024,
        description="Set by the gateway: the client's name for this sandbox.",
        json_schema_extra=IMMUTABLE,
    )
    owner: Shared = Field(
        default="",
        max_length=253,
        description="Set by the gateway: owner of the API key.",
        json_schema_extra=IMMUTABLE,
    )


class Condition(Model):
    """`Ready` sums up the sandbox."""

    type: Shared = Field(max_length=64)
    status: Literal["True", "False", "Unknown"]
    reason: Shared = Field(max_length=128)
    message: str = Field(default="", max_length=4096)
    last_transition_time: str
    observed_generation: int | None = Field(default=None, exclude_if=lambda generation: generation is None)


@lru_cache(maxsize=1024)
def _ports(ports: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    return MappingProxyType(dict(ports))


Ports = Annotated[
    Mapping[str, Annotated[int, Field(ge=1, le=65535)]],
    # Most sandboxes have the same ports, so each combination is in memory only once.
    AfterValidator(lambda ports: _ports(tuple(ports.items()))),
    PlainSerializer(dict, return_type=dict[str, int]),
]


class Loss(Model):
    """A pod or volume that the sandbox lost."""

    time: str = Field(max_length=32)
    reason: Shared = Field(max_length=64, description="Cause; docs/reasons.md lists all.")
    message: str = Field(default="", max_length=1024, description="Evidence from Kubernetes.")
    workspace: Literal["", "Kept", "Lost"] = Field(
        default="", description="Whether /workspace survived; empty if unknown."
    )
    pod_uid: str = Field(default="", alias="podUID", max_length=64)


class Pull(Model):
    """The latest image pull that a start waits for. Compressed size. 0: unknown."""

    image: str = ""
    node: Shared = ""
    start_time: str = ""
    size_bytes: int = Field(default=0, le=LARGEST_IMAGE)
    expected_seconds: int = 0


class Status(Model):
    """Fields of the status of each resource."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(
        default=[],
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )

    def condition(self, type_: str) -> Condition | None:
        """The condition of this type, or None."""
        return next((condition for condition in self.conditions if condition.type == type_), None)


class SandboxStatus(Status):
    """The observed state, written by the operator."""

    sandbox_uid: str = Field(default="", alias="sandboxUID")
    """Differs from the metadata after a restore, until the operator has taken over what was the earlier Sandbox's."""
    pod_name: str = ""
    pod_uid: str = Field(default="", alias="podUID")
    pod_ip: str = Field(default="", alias="podIP", description="Address of the agent server.")
    ports: Ports = Field(
        default={},
        max_length=16,
        description="Ports of the pod by name. http: the agent server.",
    )
    key_id: str = Field(default="", alias="keyID", description="Id of the session key.")
    launch: Launch = Field(
        default="",
        description=("How the pod was made. Warm: claimed from a pool. Resume: not the first one."),
    )
    pool: Shared = Field(default="", description="SandboxPool that the pod comes from.")
    pool_miss: str = Field(
        default="",
        max_length=512,
        description="Why no warm pod was claimed: reason, colon, details.",
    )
    restart_count: int = Field(default=0, description="Restarts of the agent server in this pod.")
    restart_reason: str = Field(default="", max_length=1024, description="Cause of the last restart.")
    log: str = Field(default="", max_length=1024, description="End of the agent server's log before it last ended.")
    remedy: Shared = Field(default="", max_length=512, description="Remedy in the message of `Ready`.")
    workspace_kept: bool | None = Field(default=None, description="Whether /workspace outlives the pod.")
    volume_claim: str = Field(default="", description="Volume claim of /workspace.")
    lost_pods: int = 0
    last_loss: Loss | None = Field(default=None, description="The latest loss.")
    first_ready_time: str = Field(default="", description="When the sandbox was first ready.")
    starting_since: str = Field(
        default="",
        description="Beginning of the present start or crash loop; time limits count from it.",
    )
    pull: Pull | None = None
    start_time: str = Field(default="", description="When this pod was made.")
    ready_time: str = Field(default="", description="When this pod was first ready, or claimed if later.")


class Sandbox(Model):
    """An OpenHands agent server in a pod, with its keys, workspace and name."""

    metadata: Metadata = Metadata()
    spec: SandboxSpec
    status: SandboxStatus = SandboxStatus()

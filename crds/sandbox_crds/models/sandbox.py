"""`Sandbox`: one OpenHands agent server, wanted (spec) and as it is (status)."""

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
        # Only of new ones: an older one of such a name must still be reported, suspended and given new settings.
        f"oldSelf.hasValue() || !self.metadata.name.matches('{SERVICE_PREFIX}')",
        f"metadata.name must not begin with {', '.join(f'{service}-' for service in SERVICES)}: hosts so named are "
        "services of other sandboxes",
    ),
)


class KeySelector(Model):
    """One key of a Secret or ConfigMap in the sandbox's namespace."""

    name: str = Field(max_length=253)
    key: str = Field(max_length=253)
    optional: bool | None = None


class EnvVarSource(Model):
    """Where a variable's value comes from."""

    secret_key_ref: KeySelector | None = None
    config_map_key_ref: KeySelector | None = None


class EnvVar(Model):
    """One environment variable, in the form of a container's `env`."""

    name: str = Field(min_length=1, max_length=256)
    value: str | None = Field(None, max_length=32768)
    value_from: EnvVarSource | None = None


LONGEST_START = 604800
"""A week, in seconds: the most that a limit of a start may be."""
COMMAND_BYTES = 32 * 1024
"""The most that the words of a command may have together. /start counts them before `$` is written twice for
Kubernetes, and the API server counts characters, so its bound is twice as much."""
ENV_CHARACTERS = 128 * 1024
"""The most that names and values of `env` may have together. What clients send as environment is not in it."""
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
    """What is wanted. Changes to all fields but `suspend` take effect when the pod is next made."""

    image: Shared = Field(
        min_length=1,
        max_length=1024,
        description="Container image with an OpenHands agent server.",
        # Not of the model: an object from before this rule must still be read.
        json_schema_extra={"pattern": PATTERN},
    )
    command: Command = Field(
        default=[],
        description=(
            "Entry point and arguments. Default: /usr/local/bin/openhands-agent-server on port 60000. "
            "The port is read from `--port`; without one it is 8000."
        ),
    )
    working_dir: Shared = Field(
        default="",
        max_length=4096,
        description="Working directory of the command. One below /workspace is made, for its user, if it is missing.",
    )
    env: list[EnvVar] = Field(
        default=[],
        max_length=256,
        description="Environment variables. Names that the operator sets are ignored.",
        json_schema_extra=ENV_RULES,
    )
    environment_hash: str = Field(
        default="",
        max_length=64,
        description="Set by the gateway: keyed hash of the client's environment, which is kept in a Secret.",
    )
    environment_revision: str = Field(
        default="",
        max_length=16,
        pattern="^[0-9a-f]*$",
        description=(
            "Set by the gateway when a client has replaced its environment: the end of the name of the Secret that "
            "holds the present one."
        ),
    )
    class_name: Shared = Field(
        default="default", max_length=253, description="SandboxClass that says how the pod looks."
    )
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
        description="Runtime class asked for; mapped by the class's `runtimeClasses`, dropped when not listed there.",
    )
    image_pull_policy: PullPolicy = Field(default="IfNotPresent", description="When the kubelet pulls the image.")
    warm_start: Literal["Allowed", "Never"] = Field(
        default="Allowed",
        description=(
            "Allowed: its first pod may be a warm one, which brings its own session key. The gateway writes Never once "
            "a client has the key of a cold start."
        ),
    )
    suspend: bool = Field(
        default=False, description="True deletes the pod; keys and volume, if the class has one, stay."
    )
    suspend_reason: Literal["", "Requested", "Idle", "StartTimeout"] = Field(
        default="",
        description="Why it is suspended, set together with `suspend`. A request wakes an idle one.",
    )
    idle_timeout_seconds: int | None = Field(
        default=None,
        ge=0,
        le=31536000,
        description=(
            "Seconds without work or requests before suspension; 0: never. Default, and the most with an owner: the "
            "class's."
        ),
    )
    pending_timeout_seconds: int | None = Field(
        default=None,
        ge=0,
        le=LONGEST_START,
        description="How long a start that is held up is pending before it is failed; 0: always. Default: the class's.",
    )
    maximum_life_seconds: int | None = Field(
        default=None,
        ge=0,
        le=315360000,
        description="Deleted at this age, running or suspended; 0: never. Default: the class's.",
    )
    restarted_at: str = Field(
        default="",
        max_length=32,
        description="RFC 3339. A pod that was made before this time is replaced; keys and volume stay.",
        json_schema_extra=rules(
            ("self == '' || self.matches('^[0-9-]{10}T[0-9:]{8}Z$')", "must be a time such as 2026-01-31T12:00:00Z")
        ),
    )
    service_ports: ServicePorts = Field(
        default=ServicePorts(),
        description=(
            "Other ports than its class's for VSCode and what its programs serve; 0: not reached. Clients' "
            "variables OH_VSCODE_PORT, WORKER_1 and WORKER_2 set them. None can be added."
        ),
    )
    service: Literal["None", "Headless"] = Field(
        default="Headless", description="Headless makes a Service of the sandbox's name, for clients in the cluster."
    )
    session_id: str = Field(
        default="",
        alias="sessionID",
        max_length=1024,
        description="Set by the gateway: the client's own handle for this sandbox.",
        json_schema_extra=IMMUTABLE,
    )
    owner: Shared = Field(
        default="",
        max_length=253,
        description="Set by the gateway: name of the API key that this sandbox belongs to.",
        json_schema_extra=IMMUTABLE,
    )


class Condition(Model):
    """A condition in the form of the Kubernetes API conventions; the type `Ready` sums up the sandbox."""

    type: Shared = Field(max_length=64)
    status: Literal["True", "False", "Unknown"]
    reason: Shared = Field(max_length=128)
    message: str = Field(default="", max_length=4096)
    last_transition_time: str = Field(description="When `status` or `reason` last changed, RFC 3339.")


@lru_cache(maxsize=1024)
def _ports(ports: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    return MappingProxyType(dict(ports))


Ports = Annotated[
    Mapping[str, Annotated[int, Field(ge=1, le=65535)]],
    # Most sandboxes have the same: each is kept in memory once.
    AfterValidator(lambda ports: _ports(tuple(ports.items()))),
    PlainSerializer(dict, return_type=dict[str, int]),
]


class Loss(Model):
    """Something that a sandbox has lost without its owner asking for it."""

    time: str = Field(max_length=32, description="When the operator saw it, RFC 3339.")
    reason: Shared = Field(max_length=64, description="Why, in UpperCamelCase: docs/reasons.md lists them.")
    message: str = Field(default="", max_length=1024, description="What Kubernetes says about it.")
    workspace: Literal["", "Kept", "Lost"] = Field(
        default="", description="What became of /workspace; empty if unknown, or if the pod was never ready."
    )
    pod_uid: str = Field(default="", alias="podUID", max_length=64, description="The pod that was lost.")


class SandboxStatus(Model):
    """What is so, written by the operator."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(
        default=[],
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    pod_name: str = ""
    pod_uid: str = Field(default="", alias="podUID", description="Pod that this status is about, if any.")
    pod_ip: str = Field(default="", alias="podIP", description="Address of the agent server, if any.")
    ports: Ports = Field(
        default={},
        max_length=16,
        description=("Ports of the present pod by name: http is the agent server's, the others are services."),
    )
    key_id: str = Field(default="", alias="keyID", description="Id of the session key, not the key itself.")
    launch: Literal["", "Cold", "Warm", "Resume"] = Field(
        default="",
        description=(
            "How the present pod came to be: Warm when claimed from a pool, Resume when there was a ready one before."
        ),
    )
    pool: Shared = Field(default="", description="SandboxPool that the present pod was claimed from.")
    pool_miss: str = Field(
        default="",
        max_length=512,
        description="Why the first pod was not claimed from a pool: reason, colon, details.",
    )
    restart_count: int = Field(default=0, description="Restarts of the agent server's container in the present pod.")
    restart_reason: str = Field(default="", max_length=1024, description="Why the container was last restarted.")
    lost_pods: int = Field(
        default=0, description="Pods that the sandbox has lost: evicted, drained, deleted by others, gone, or ended."
    )
    last_loss: Loss | None = Field(default=None, description="What it has lost last, for as long as it lives.")
    first_ready_time: str = Field(default="", description="When the sandbox was ready for the first time, RFC 3339.")
    starting_since: str = Field(
        default="",
        description=(
            "Since when a start or a loop of crashes is under way, RFC 3339; empty while suspended and once the pod "
            "has been ready. Time limits of starts count from here."
        ),
    )
    start_time: str = Field(default="", description="When the present pod was made, RFC 3339.")
    ready_time: str = Field(
        default="", description="When the present pod was first ready, or claimed if that was later, RFC 3339."
    )

    def condition(self, type_: str) -> Condition | None:
        """The condition of this type, or None."""
        return next((condition for condition in self.conditions if condition.type == type_), None)


class Sandbox(Model):
    """An OpenHands agent server in a pod, with its keys, workspace and name."""

    metadata: Metadata = Metadata()
    spec: SandboxSpec
    status: SandboxStatus = SandboxStatus()

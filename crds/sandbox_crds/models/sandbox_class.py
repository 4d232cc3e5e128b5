"""`SandboxClass`: settings of the pods of one kind of sandbox, as a StorageClass has settings of volumes."""

from typing import Annotated, Any

from pydantic import Field

from sandbox_crds.models.agent_server import AgentServer
from sandbox_crds.models.base import PRESERVE_UNKNOWN, Metadata, Model, rules
from sandbox_crds.models.pod_additions import CaBundle, Quantity, Sidecars, Size, Volumes
from sandbox_crds.models.sandbox import ENV_RULES, LONGEST_START, EnvVar
from sandbox_crds.models.service_ports import ServicePorts

Text = Annotated[str, Field(max_length=1024)]

_WITHIN_LIMITS = rules(
    (
        "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || "
        "quantity(self.requests[name]).compareTo(quantity(self.limits[name])) <= 0)",
        "a request is larger than the limit of the same resource",
    ),
    (
        "(!has(self.requests) || self.requests.all(name, !name.contains('/') || (has(self.limits) && name in "
        "self.limits && quantity(self.requests[name]).compareTo(quantity(self.limits[name])) == 0))) && "
        "(!has(self.limits) || self.limits.all(name, !name.contains('/') || quantity(self.limits[name]).isInteger()))",
        "an extended resource, such as nvidia.com/gpu, has a whole number as limit, and no other request",
    ),
)


class Resources(Model):
    """Compute resources of the agent server's container for resource factor 1.

    Extended resources, such as nvidia.com/gpu, are the same for every factor.
    """

    requests: dict[str, Quantity] = Field(default={}, max_length=16)
    limits: dict[str, Quantity] = Field(default={}, max_length=16)


class Workspace(Model):
    """How /workspace is stored."""

    persistent: bool = Field(
        default=False,
        description="True keeps /workspace on a volume during suspension. False: it is lost with the pod.",
    )
    size: Size = Field(
        default="10Gi",
        description=(
            "Size limit of the pod's directory, or size of the volume. An existing volume grows with the next pod if "
            "its StorageClass allows it. Volumes never shrink."
        ),
    )
    storage_class_name: str = Field(
        default="", max_length=253, description="StorageClass of the volume. Empty: the cluster's default."
    )
    discard_on_suspension: bool = Field(
        default=False,
        description=(
            "True accepts that the suspension of a sandbox without a volume loses /workspace and its conversations. "
            "False: such a sandbox is not suspended for idleness or a slow start, and clients cannot pause it. Only "
            "spec.suspend, set with kubectl, suspends it. No effect on sandboxes with a volume."
        ),
    )


_NOT_OF_THE_RELEASE = rules(
    (
        "!('app.kubernetes.io/component' in self)",
        "app.kubernetes.io/component belongs to the release: its Services and policies select their own pods by it",
    )
)


class PodOverlay(Model):
    """Additions to each pod."""

    labels: dict[str, Text] = Field(default={}, max_length=64, json_schema_extra=_NOT_OF_THE_RELEASE)
    annotations: dict[str, Text] = Field(default={}, max_length=64)
    node_selector: dict[str, Text] = Field(default={}, max_length=64)
    tolerations: list[Annotated[dict[str, Any], Field(json_schema_extra=PRESERVE_UNKNOWN)]] = Field(
        default=[], max_length=64
    )
    affinity: dict[str, Any] = Field(default={}, json_schema_extra=PRESERVE_UNKNOWN)
    priority_class_name: str = Field(default="", max_length=253)
    topology_spread_constraints: list[Annotated[dict[str, Any], Field(json_schema_extra=PRESERVE_UNKNOWN)]] = Field(
        default=[],
        max_length=8,
        description="As in a pod. Without a labelSelector, they apply to all sandboxes and free warm pods.",
    )
    image_pull_secrets: list[Text] = Field(default=[], max_length=16, description="Names of image pull Secrets.")
    read_only_root_filesystem: bool = Field(
        default=False, description="True: only /workspace, /tmp and the home directory are writable."
    )
    allow_privilege_escalation: bool = Field(
        default=False, description="True lets set-uid programs such as sudo work inside the sandbox."
    )
    allow_root_group: bool = Field(
        default=False,
        description=(
            "True allows the group id 0 (runAsGroup, fsGroup) for sandboxes and pools. The user id 0 is never allowed."
        ),
    )
    host_users: bool | None = Field(
        default=None,
        description=(
            "False gives each pod a user namespace, whose user ids, including root, have no rights on the node. Nodes "
            "need Linux 6.3, containerd 2.0 and runc 1.2, or CRI-O. Default: the cluster's."
        ),
    )
    omit_ids: bool = Field(
        default=False,
        description=(
            "True omits runAsUser, runAsGroup and fsGroup from pods, for clusters that choose them (OpenShift)."
        ),
    )
    ca_bundle: CaBundle | None = Field(
        default=None,
        description=(
            "Certificate authorities that programs in sandboxes trust, through SSL_CERT_FILE, REQUESTS_CA_BUNDLE, "
            "CURL_CA_BUNDLE, GIT_SSL_CAINFO and NODE_EXTRA_CA_CERTS. Most programs read this file instead of the "
            "image's, so it must contain the public authorities too. A sandbox's own variables take precedence. "
            "Sandboxes keep the variables that they were made with: to stop trusting your authorities, remove them "
            "from the bundle instead of removing the bundle."
        ),
    )
    volumes: Volumes = Field(default=[], description="Additional volumes, and their paths in the agent server.")
    allow_host_path: bool = Field(
        default=False,
        description="True allows directories of the node in `volumes`. Pod Security `restricted` refuses such pods.",
    )
    sidecars: Sidecars = Field(
        default=[],
        description=(
            "Side containers of each pod, as confined as the agent server. Resource factors do not apply to them."
        ),
    )
    tmp_size: Size = Field(
        default="8Gi", description="Size limit of /tmp; beyond it the pod is evicted. Uploads pass through it."
    )
    home_size: Size = Field(
        default="8Gi",
        description="Size limit of the home directory, if it is a directory of the pod (readOnlyRootFilesystem).",
    )
    shm_size: Size | None = Field(
        default=None,
        description=(
            "Size of /dev/shm, the shared memory of browsers and databases. Its content counts as memory of the "
            "container, so it may not exceed limits.memory. Default: the container runtime's 64 MiB."
        ),
    )


_HOST_PATHS = rules(
    (
        "self.allowHostPath || !has(self.volumes) || self.volumes.all(volume, !has(volume.hostPath))",
        "a hostPath in volumes needs allowHostPath",
    )
)


class SandboxClassSpec(Model):
    """Settings of this class's pods. Changes affect a sandbox when its next pod is made."""

    agent_server: AgentServer | None = Field(
        default=None,
        description=(
            "Brings the agent server into the pods, so that a sandbox's image needs none: it can be any Linux image. "
            "Default: the image has an agent server."
        ),
    )
    resources: Resources = Field(default=Resources(), json_schema_extra=_WITHIN_LIMITS)
    workspace: Workspace = Workspace()
    env: list[EnvVar] = Field(
        default=[],
        max_length=128,
        description="Default environment variables. A sandbox's own values take precedence.",
        json_schema_extra=ENV_RULES,
    )
    runtime_classes: dict[str, Text] = Field(
        default={},
        max_length=64,
        description=(
            "Maps the runtime class that a sandbox requests to that of its pod. The entry with the empty name is the "
            "default: for sandboxes that request none, for entries with an empty value, and for classes that are not "
            "listed, which an Event reports. Without that entry, the cluster's default applies."
        ),
    )
    service_ports: ServicePorts = Field(
        default=ServicePorts(),
        description=(
            "Ports behind a sandbox's hosts vscode-, work-1- and work-2-, if the gateway has a base domain; 0: no such "
            "host. Programs read them from OH_VSCODE_PORT, WORKER_1 and WORKER_2."
        ),
    )
    egress: str = Field(
        # It is never absent if the installed definition has this field.
        default="",
        json_schema_extra={"default": "Internet"},
        max_length=32,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$",
        description=(
            "Egress profile from the chart's networkPolicy.egressProfiles: what the pods may connect to. `None`, and "
            "every name that the chart does not define, allow no connections."
        ),
    )
    pod: PodOverlay = Field(default=PodOverlay(), json_schema_extra=_HOST_PATHS)
    startup_timeout_seconds: int = Field(
        default=300, ge=1, le=3600, description="Seconds for the agent server to answer before it is restarted."
    )
    pending_timeout_seconds: int = Field(
        default=285,
        ge=0,
        le=LONGEST_START,
        description=(
            "Seconds for which a delayed start is reported as pending, with its cause, while Kubernetes keeps trying: "
            "the image cannot be pulled now, nodes have no room, a quota is reached, a volume is missing. Afterwards "
            "it is reported as failed, but still becomes ready if the cause passes. 0: never reported as failed. With "
            "the default, clients that wait for 300 s learn the cause. A sandbox's own value takes precedence."
        ),
    )
    progress_deadline_seconds: int = Field(
        default=0,
        ge=0,
        le=LONGEST_START,
        description=(
            "Maximum seconds of a start; 0: no limit. Beyond it, a sandbox that was never ready is deleted, because "
            "its client has given up. A sandbox that was ready before is suspended, unless this would lose /workspace: "
            "without a volume, only if `workspace.discardOnSuspension` is true."
        ),
    )
    idle_timeout_seconds: int = Field(
        default=0,
        ge=0,
        le=31536000,
        description=(
            "Seconds of inactivity before suspension; 0 disables. A sandbox's own value takes precedence. If the "
            "sandbox has an owner, this value is also the maximum. It applies only to sandboxes with a volume, unless "
            "`workspace.discardOnSuspension` is true."
        ),
    )
    wake_on_web_socket: bool = Field(
        default=False,
        description=(
            "True: WebSocket handshakes wake an idle sandbox, as other requests do. Clients that reconnect for ever "
            "then keep it awake."
        ),
    )
    maximum_life_seconds: int = Field(
        default=0,
        ge=0,
        le=315360000,
        description="Age in seconds at which a sandbox is deleted; 0: never. A sandbox's own value takes precedence.",
    )
    maximum_suspended_seconds: int = Field(
        default=0,
        ge=0,
        le=315360000,
        description="Seconds of suspension before it is deleted with its volume; 0: never.",
    )
    termination_grace_period_seconds: int = Field(
        default=30, ge=0, le=3600, description="Seconds for the agent server to end before it is killed."
    )

    def allows_groups(self, *group_ids: int) -> bool:
        """Whether pods of this class may have these group ids."""
        return self.pod.allow_root_group or 0 not in group_ids


_SHM_FITS = rules(
    (
        "!has(self.pod) || !has(self.pod.shmSize) || !has(self.resources) || !has(self.resources.limits) || "
        "!('memory' in self.resources.limits) || "
        "quantity(self.pod.shmSize).compareTo(quantity(self.resources.limits['memory'])) <= 0",
        "pod.shmSize is larger than resources.limits.memory",
    )
)


class SandboxClass(Model):
    """Settings of the pods of one kind of sandbox."""

    metadata: Metadata = Metadata()
    spec: SandboxClassSpec = Field(default=SandboxClassSpec(egress="Internet"), json_schema_extra=_SHM_FITS)

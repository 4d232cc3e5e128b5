"""`SandboxClass`: how the pods of one kind of sandbox look, as a StorageClass does for volumes."""

from typing import Annotated, Any

from pydantic import Field

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

    Extended resources, such as nvidia.com/gpu, stay the same for every factor: a sandbox that is twice as large has no
    second device.
    """

    requests: dict[str, Quantity] = Field(default={}, max_length=16)
    limits: dict[str, Quantity] = Field(default={}, max_length=16)


class Workspace(Model):
    """Where /workspace is kept."""

    persistent: bool = Field(
        default=False,
        description="True keeps /workspace on a volume over suspend and resume; false loses it with the pod.",
    )
    size: Size = Field(
        default="10Gi",
        description=(
            "Limit of the pod-local directory, or size of the volume. One that is there grows with the next pod, where "
            "its StorageClass allows that; none shrinks."
        ),
    )
    storage_class_name: str = Field(
        default="", max_length=253, description="StorageClass of the volume. Empty: the cluster's default."
    )


_NOT_OF_THE_RELEASE = rules(
    (
        "!('app.kubernetes.io/component' in self)",
        "app.kubernetes.io/component belongs to the release: its Services and policies select their own pods by it",
    )
)


class PodOverlay(Model):
    """What is added to each pod."""

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
        description="As in a pod. Without a labelSelector all sandboxes and free warm pods count.",
    )
    image_pull_secrets: list[Text] = Field(default=[], max_length=16, description="Names of image pull Secrets.")
    read_only_root_filesystem: bool = Field(
        default=False, description="True makes all but /workspace, /tmp and the home directory read-only."
    )
    allow_privilege_escalation: bool = Field(
        default=False, description="True lets set-uid programs such as sudo work inside the sandbox."
    )
    allow_root_group: bool = Field(
        default=False,
        description=(
            "True lets sandboxes and pools have the group id 0 (runAsGroup, fsGroup). The user id 0 is never allowed."
        ),
    )
    host_users: bool | None = Field(
        default=None,
        description=(
            "False gives each pod a user namespace: its user ids, root's too, are none of the node's. Nodes need Linux "
            "6.3, containerd 2.0 and runc 1.2, or CRI-O. Left out: the cluster's default."
        ),
    )
    omit_ids: bool = Field(
        default=False,
        description=(
            "True leaves runAsUser, runAsGroup and fsGroup out of pods, for clusters that choose them (OpenShift)."
        ),
    )
    ca_bundle: CaBundle | None = Field(
        default=None,
        description=(
            "Certificate authorities that programs in sandboxes trust, by SSL_CERT_FILE, REQUESTS_CA_BUNDLE, "
            "CURL_CA_BUNDLE, GIT_SSL_CAINFO and NODE_EXTRA_CA_CERTS. Most take this file instead of the image's own, "
            "so it has the public authorities too. A sandbox's own variables win. Sandboxes keep the variables that "
            "they were made with: to end this, leave a bundle without yours instead of removing it."
        ),
    )
    volumes: Volumes = Field(default=[], description="More volumes, and where the agent server has them.")
    allow_host_path: bool = Field(
        default=False,
        description="True lets `volumes` have directories of the node, which the level `restricted` does not admit.",
    )
    sidecars: Sidecars = Field(
        default=[],
        description=(
            "Side containers of each pod, as confined as the agent server. A resource factor does not multiply theirs."
        ),
    )
    tmp_size: Size = Field(
        default="8Gi", description="The most that /tmp may hold; the pod is evicted beyond it. Uploads pass through it."
    )
    home_size: Size = Field(
        default="8Gi",
        description="The same for the home directory, where it is a directory of the pod (readOnlyRootFilesystem).",
    )
    shm_size: Size | None = Field(
        default=None,
        description=(
            "Size of /dev/shm, which browsers and databases share memory by. What is in it counts as memory of the "
            "container, so it is no larger than limits.memory. Left out: the container runtime's 64 MiB."
        ),
    )


_HOST_PATHS = rules(
    (
        "self.allowHostPath || !has(self.volumes) || self.volumes.all(volume, !has(volume.hostPath))",
        "a hostPath in volumes needs allowHostPath",
    )
)


class SandboxClassSpec(Model):
    """How pods of this class look. Changes reach a sandbox when its pod is next made."""

    resources: Resources = Field(default=Resources(), json_schema_extra=_WITHIN_LIMITS)
    workspace: Workspace = Workspace()
    env: list[EnvVar] = Field(
        default=[],
        max_length=128,
        description="Defaults for the environment; a sandbox's own values win.",
        json_schema_extra=ENV_RULES,
    )
    runtime_classes: dict[str, Text] = Field(
        default={},
        max_length=64,
        description=(
            "From the runtime class a sandbox asks for to the one its pod gets. The entry with the empty name is the "
            "default of this class: for sandboxes that ask for none, for an entry with an empty value, and for a class "
            "that is not listed, which is dropped with an Event. Without it that is the cluster's default."
        ),
    )
    service_ports: ServicePorts = Field(
        default=ServicePorts(),
        description=(
            "Ports at which the hosts vscode-, work-1- and work-2- of a sandbox lead into it, where the gateway has a "
            "base domain; 0: there is no such host. Programs learn them from OH_VSCODE_PORT, WORKER_1 and WORKER_2."
        ),
    )
    egress: str = Field(
        # It is never absent where the installed definition knows it.
        default="",
        json_schema_extra={"default": "Internet"},
        max_length=32,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$",
        description=(
            "Egress profile, one of networkPolicy.egressProfiles of the chart: what the pods may connect to. None, and "
            "every name that the chart does not know: nothing at all."
        ),
    )
    pod: PodOverlay = Field(default=PodOverlay(), json_schema_extra=_HOST_PATHS)
    startup_timeout_seconds: int = Field(
        default=300, ge=1, le=3600, description="How long the agent server may take to answer before it is restarted."
    )
    pending_timeout_seconds: int = Field(
        default=285,
        ge=0,
        le=LONGEST_START,
        description=(
            "How long a start that something holds up is reported as pending, with its cause, while Kubernetes goes on "
            "trying: an image that cannot be pulled at the moment, no room on the nodes, a quota, a volume. Then it is "
            "reported as failed; it still becomes ready if the cause passes. 0: never reported as failed. The default "
            "lets clients that wait for 300 s learn the cause. A sandbox's own value wins."
        ),
    )
    progress_deadline_seconds: int = Field(
        default=0,
        ge=0,
        le=LONGEST_START,
        description=(
            "How long a start may take in all; 0: for ever. Then a sandbox that was never ready is deleted, since its "
            "client has given up; one that was is suspended, and keeps its volume."
        ),
    )
    idle_timeout_seconds: int = Field(
        default=0,
        ge=0,
        le=31536000,
        description=(
            "Suspended after so long without work or requests; 0: never. A sandbox's own value wins; that of one with "
            "an owner, which a client of the gateway has chosen, only if it is shorter."
        ),
    )
    wake_on_web_socket: bool = Field(
        default=False,
        description=(
            "True: a WebSocket handshake wakes an idle sandbox, as other requests do. Clients that reconnect for ever "
            "then keep it from staying suspended."
        ),
    )
    maximum_life_seconds: int = Field(
        default=0,
        ge=0,
        le=315360000,
        description="Deleted when it is so old, running or suspended; 0: never. A sandbox's own value wins.",
    )
    maximum_suspended_seconds: int = Field(
        default=0, ge=0, le=315360000, description="Deleted with its volume after so long a suspension; 0: never."
    )
    termination_grace_period_seconds: int = Field(
        default=30, ge=0, le=3600, description="How long the agent server may take to end before it is killed."
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
    """How the pods of one kind of sandbox look."""

    metadata: Metadata = Metadata()
    spec: SandboxClassSpec = Field(default=SandboxClassSpec(egress="Internet"), json_schema_extra=_SHM_FITS)

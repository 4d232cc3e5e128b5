"""A pod, reduced to the fields that decisions about its sandbox use."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sandbox_common import times
from sandbox_common.kube import KubeObject
from sandbox_common.kube.unreadable import malformed
from sandbox_common.usage import mebibytes, millicores
from sandbox_crds.api import GROUP, POOL_LABEL, SANDBOX_LABEL
from sandbox_crds.names import CONTAINER
from sandbox_operator.watching.nodes import Toleration, toleration

WORKSPACE_VOLUME = "workspace"
"""Name of the volume at /workspace. A class's own volumes have other names."""

COPIER, DELIVERY_VOLUME = "agent-server-copy", "agent-server"
"""Names of the init container and of the volume that bring the agent server into pods of images that have none."""

RESTARTED_ANNOTATION = f"{GROUP}/restarted-at"
"""On a pod: the Sandbox's `restartedAt` when the pod was made."""

TEMPLATE_ANNOTATION = f"{GROUP}/template"
"""On a warm pod: hash of everything that it was made from. A sandbox with the same hash may claim it."""

KEY_ID_ANNOTATION = f"{GROUP}/key-id"
"""On each Secret with keys, and on a pod whose key is not derived from its Sandbox: the id of the key. The master key
may change before a status reports the id."""

CLAIMED_ANNOTATION = f"{GROUP}/claimed-at"
"""On a claimed warm pod: time of the claim, RFC 3339."""

DEFERRED_ANNOTATION = f"{GROUP}/deferred-init"
"""On a warm pod: `"true"` if its agent server boots dormant, at its start and at each restart."""

_LOCAL_VOLUMES = frozenset({"emptyDir", "secret", "configMap", "downwardAPI", "projected", "image"})
"""Types of volumes that are deleted with their pod, so that no other pod can write to them."""

_LONGEST_GRACE = 366 * 24 * 3600

BENIGN_WAITS = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons of `state.waiting` of a container that is being started."""

START_ERROR = "StartError"
"""Reason of a run that did not begin: its message is the container runtime's, and not the end of a log."""

_PULL_AGAIN = frozenset({"ErrImagePull", "ImagePullBackOff"})


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the container that has ended."""

    exit_code: int
    reason: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Container:
    """The agent server's container as the kubelet last reported it."""

    ready: bool
    restarts: int
    waiting_reason: str
    waiting_message: str
    running_since: datetime | None
    last_run: Run | None


@dataclass(frozen=True, slots=True)
class PodCondition:
    """One of the pod's conditions."""

    status: bool
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why another container of the pod does not run. Injected containers may delay the agent server's."""

    container: str
    reason: str
    message: str


type RunId = tuple[str, int]
"""UID of a pod, and the number of its container's restarts."""


@dataclass(frozen=True, slots=True)
class Pod:
    """`deletion_requested` is when the pod was deleted; it should have ended at `deletion_due`.

    `disruption` is the condition `DisruptionTarget`: who ends or has ended the pod. `has_network`: the kubelet has
    mounted the volumes and set up the network; kubelets before Kubernetes 1.29 do not report this. `is_local`: all
    volumes are deleted with the pod. `volume_claim` is the name of the claim of /workspace, "" if it has no volume.
    `sandbox` is the name of its Sandbox, "" for a free warm pod. `pool`, `template`,
    `claimed` and `deferred` are set only on warm pods, `key_id` on those and on pods with the key of a warm pod.
    `reported` is when its status was last written. Two states with the same fields are equal, whatever else changed.
    """

    name: str
    uid: str
    owner_uid: str
    created: datetime
    image: str
    server_image: str = ""
    """Image that brings the agent server, if the container's own does not."""
    resource_version: str = field(default="", compare=False)
    reported: datetime | None = field(default=None, compare=False)
    restarted_at: str = ""
    sandbox: str = ""
    pool: str = ""
    template: str = ""
    key_id: str = ""
    claimed: datetime | None = None
    deferred: bool = False
    deletion_requested: datetime | None = None
    deletion_due: datetime | None = None
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    ip: str = ""
    ports: tuple[tuple[str, int], ...] = ()
    node: str = ""
    tolerations: tuple[Toleration, ...] = ()
    is_local: bool = False
    volume_claim: str = ""
    scheduled: PodCondition | None = None
    ready: PodCondition | None = None
    disruption: PodCondition | None = None
    has_network: bool = False
    container: Container | None = None
    obstacle: Obstacle | None = None
    requests: tuple[int, int] = (0, 0)
    """CPU in thousandths and memory in MiB, as a scheduler counts them."""

    def port(self, name: str) -> int:
        """The port with this name that the agent server's container declares; 0 if there is none."""
        return dict(self.ports).get(name, 0)

    @property
    def restarts(self) -> int:
        """How often the agent server's container has been restarted."""
        return self.container.restarts if self.container else 0

    @property
    def run_id(self) -> RunId:
        """Identifies the present run of the agent server: it changes with each restart."""
        return self.uid, self.restarts

    @property
    def keeps_workspace(self) -> bool:
        """Whether /workspace is on a volume, so that it is not deleted with the pod."""
        return bool(self.volume_claim)

    @property
    def is_free(self) -> bool:
        """Whether this is a warm pod that no sandbox has claimed."""
        return bool(self.pool) and not self.sandbox

    @property
    def is_ready(self) -> bool:
        """Whether the pod's condition `Ready` is true."""
        return self.ready is not None and self.ready.status

    @property
    def awaits_containers(self) -> bool:
        """Whether a kubelet is making the container of the agent server, as far as it has reported."""
        if not self.node or self.is_finished or self.deletion_requested:
            return False
        container = self.container
        return container is None or (container.running_since is None and container.waiting_reason in BENIGN_WAITS)

    @property
    def has_begun(self) -> bool:
        """Whether the kubelet has reported more than that it makes the agent server's container for the first time."""
        container = self.container
        if not self.node or container is None:
            return False
        return not self.awaits_containers or container.last_run is not None or container.restarts > 0

    @property
    def awaits_pull(self) -> bool:
        """Whether the kubelet has failed to pull the image, and goes on trying."""
        return self.container is not None and self.container.waiting_reason in _PULL_AGAIN

    def has_begun_again(self, since: datetime) -> bool:
        """Whether a pull that began at `since` may go on: the kubelet has reported nothing since, with whole seconds.

        Events of failures alone do not tell: many of them about one pod are suppressed.
        """
        return self.reported is not None and since >= self.reported

    @property
    def is_finished(self) -> bool:
        """Whether all its containers have ended for good."""
        return self.phase in {"Failed", "Succeeded"}


@malformed("a pod")
def decode(item: KubeObject) -> Pod:
    """Decode a pod from the API server. Raises ValueError if it is malformed."""
    metadata, spec, status = _part(item, "metadata"), _part(item, "spec"), _part(item, "status")
    containers: list[dict[str, Any]] = spec["containers"]
    conditions = {condition["type"]: condition for condition in _parts(status, "conditions")}
    statuses = [*_parts(status, "initContainerStatuses"), *_parts(status, "containerStatuses")]
    own = next((part for part in containers if part["name"] == CONTAINER), dict[str, Any]())
    reported = next((part for part in statuses if part["name"] == CONTAINER), None)
    network = _condition(conditions.get("PodReadyToStartContainers"))
    labels, annotations = _part(metadata, "labels"), _part(metadata, "annotations")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        owner_uid=controller_uid(item),
        created=times.parse(metadata["creationTimestamp"]),
        image=own.get("image", ""),
        server_image=_server_image(spec),
        resource_version=metadata.get("resourceVersion", ""),
        reported=_reported(metadata),
        restarted_at=annotations.get(RESTARTED_ANNOTATION, ""),
        sandbox=labels.get(SANDBOX_LABEL, ""),
        pool=labels.get(POOL_LABEL, ""),
        template=annotations.get(TEMPLATE_ANNOTATION, ""),
        key_id=annotations.get(KEY_ID_ANNOTATION, ""),
        claimed=_time(annotations, CLAIMED_ANNOTATION),
        deferred=annotations.get(DEFERRED_ANNOTATION) == "true",
        deletion_requested=_deletion_requested(metadata),
        deletion_due=_time(metadata, "deletionTimestamp"),
        phase=status.get("phase", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        ip=status.get("podIP", ""),
        ports=_shared(tuple((part["name"], part["containerPort"]) for part in _parts(own, "ports") if "name" in part)),
        node=spec.get("nodeName", ""),
        tolerations=_shared(tuple(toleration(part) for part in _parts(spec, "tolerations"))),
        is_local=all(_is_local(volume) for volume in _parts(spec, "volumes")),
        volume_claim=_volume_claim(spec),
        scheduled=_condition(conditions.get("PodScheduled")),
        ready=_condition(conditions.get("Ready")),
        disruption=_condition(conditions.get("DisruptionTarget")),
        has_network=network is not None and network.status,
        container=_container(reported) if reported else None,
        obstacle=next((found for part in statuses if part["name"] != CONTAINER and (found := _obstacle(part))), None),
        requests=_shared((_requested(spec, "cpu", millicores), _requested(spec, "memory", mebibytes))),
    )


def controller_uid(item: KubeObject) -> str:
    """UID of the controller that owns an object; "" if there is none."""
    owners = _parts(_part(item, "metadata"), "ownerReferences")
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


def _server_image(spec: dict[str, Any]) -> str:
    for volume in _parts(spec, "volumes"):
        if volume["name"] == DELIVERY_VOLUME and "image" in volume:
            return volume["image"].get("reference", "")
    return next((part["image"] for part in _parts(spec, "initContainers") if part["name"] == COPIER), "")


@lru_cache(maxsize=1024)
def _shared[T: tuple[object, ...]](parts: T) -> T:
    """An equal tuple that all pods share, to save memory."""
    return parts


def _requested(spec: dict[str, Any], resource: str, read: Callable[[str], int]) -> int:
    """What the containers that run at the same time request together, or the largest of those that run before."""

    def of(container: dict[str, Any]) -> int:
        return read(str(_part(_part(container, "resources"), "requests").get(resource, "0")))

    first = _parts(spec, "initContainers")
    sidecars = [part for part in first if part.get("restartPolicy") == "Always"]
    together = sum(map(of, (*_parts(spec, "containers"), *sidecars)))
    before = max((of(part) for part in first if part.get("restartPolicy") != "Always"), default=0)
    return max(together, before) + read(str(_part(spec, "overhead").get(resource, "0")))


def _is_local(volume: dict[str, Any]) -> bool:
    return volume.keys() - {"name"} <= _LOCAL_VOLUMES


def _volume_claim(spec: dict[str, Any]) -> str:
    workspace = next((part for part in _parts(spec, "volumes") if part["name"] == WORKSPACE_VOLUME), dict[str, Any]())
    return _part(workspace, "persistentVolumeClaim").get("claimName", "")


def _deletion_requested(metadata: dict[str, Any]) -> datetime | None:
    end = _time(metadata, "deletionTimestamp")
    # deletionTimestamp is the end of the grace period. The API server accepts any period, and its own sum overflows.
    grace = min(metadata.get("deletionGracePeriodSeconds") or 0, _LONGEST_GRACE)
    return end and end - timedelta(seconds=grace)


def _condition(condition: dict[str, Any] | None) -> PodCondition | None:
    if condition is None:
        return None
    return PodCondition(
        status=condition["status"] == "True",
        reason=condition.get("reason", ""),
        message=condition.get("message", ""),
        since=_time(condition, "lastTransitionTime"),
    )


def _obstacle(status: dict[str, Any]) -> Obstacle | None:
    waiting = _part(_part(status, "state"), "waiting")
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in BENIGN_WAITS:
        return None
    last = _part(_part(status, "lastState"), "terminated")
    # The message of the last run explains more than that of the wait for the next one.
    return Obstacle(status["name"], reason, last.get("message") or message)


def _container(status: dict[str, Any]) -> Container:
    state, last = _part(status, "state"), _part(status, "lastState")
    waiting = _part(state, "waiting")
    ended = _part(state, "terminated") or _part(last, "terminated")
    return Container(
        ready=bool(status.get("ready")),
        restarts=status.get("restartCount", 0),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        running_since=_time(_part(state, "running"), "startedAt"),
        last_run=_run(ended) if ended else None,
    )


def _run(ended: dict[str, Any]) -> Run:
    start, end = _time(ended, "startedAt"), _time(ended, "finishedAt")
    return Run(
        exit_code=ended.get("exitCode", 0),
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        seconds=(end - start).total_seconds() if start and end else 0.0,
    )


def _part(item: dict[str, Any], name: str) -> dict[str, Any]:
    return item.get(name) or {}


def _parts(item: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return item.get(name) or []


def _reported(metadata: dict[str, Any]) -> datetime | None:
    """When the pod's status was last written; on a node, that is the kubelet's work."""
    fields = _parts(metadata, "managedFields")
    return max((times.parse(part["time"]) for part in fields if part.get("subresource") == "status"), default=None)


def _time(item: dict[str, Any], name: str) -> datetime | None:
    text = item.get(name)
    return times.parse(text) if text else None

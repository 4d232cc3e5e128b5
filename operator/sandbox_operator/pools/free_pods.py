"""The free pods of a pool, sorted by their state."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import Reason
from sandbox_operator.reporting import pod_events
from sandbox_operator.reporting.findings import Finding, examine, finished
from sandbox_operator.reporting.redaction import redacted_pod
from sandbox_operator.watching.pods import Pod

LONGEST_START = timedelta(minutes=10)
"""A pod that is not ready after this time counts as failing, even without a known cause."""

VOLUME_IS_MADE = timedelta(seconds=15)
"""A pod that has no node after this time, and has a volume, may wait for the volume. Slow provisioners are usual."""

_UNBOUND = frozenset({Reason.VOLUME_NOT_BOUND, Reason.STORAGE_CLASS_NOT_FOUND})
_UNDER_WAY = frozenset({Reason.PENDING, Reason.STARTING, Reason.CONTAINER_RESTARTING, Reason.VOLUME_NOT_BOUND})


class PodState(StrEnum):
    """State of a free pod. `WAITING`: no node has room for it. `UNBOUND`: its volume is not bound."""

    READY = "ready"
    STARTING = "starting"
    WAITING = "waiting"
    UNBOUND = "unbound"
    FAILING = "failing"


@dataclass(slots=True)
class PodsByState:
    """Pods by their state."""

    by_state: dict[PodState, list[Pod]] = field(default_factory=lambda: {state: [] for state in PodState})

    def __getitem__(self, state: PodState) -> list[Pod]:
        return self.by_state[state]

    def count(self, *states: PodState) -> int:
        """Number of pods in these states; of all pods if no state is given."""
        return sum(len(self.by_state[state]) for state in states or PodState)


@dataclass(slots=True)
class FreePods:
    """Free pods that are not being deleted: `current` ones have the template of new pods, `outdated` ones do not.

    `leaving` pods are ready, but their nodes take no more such pods; `unfit` names one of these nodes and its reason.
    `findings` has the finding of each pod that waits or fails, by UID.
    """

    current: PodsByState = field(default_factory=PodsByState)
    outdated: PodsByState = field(default_factory=PodsByState)
    leaving: list[Pod] = field(default_factory=list[Pod])
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    unfit: str = ""

    def count(self, *states: PodState) -> int:
        """Number of current, outdated and leaving pods in these states; of all if no state is given."""
        leaving = len(self.leaving) if not states or PodState.READY in states else 0
        return self.current.count(*states) + self.outdated.count(*states) + leaving


def lacks_volume(pod: Pod, now: datetime) -> bool:
    """Whether the pod has waited for a node for so long that its volume may be the cause."""
    return bool(pod.volume_claim) and not pod.node and now >= pod.created + VOLUME_IS_MADE


def sort_free_pods(
    pods: Iterable[Pod],
    template: str,
    keys: MasterKeys,
    now: datetime,
    unfit: Callable[[Pod], str] = lambda _: "",
    volume_events: Mapping[str, Sequence[ClusterEvent]] = MappingProxyType({}),
) -> FreePods:
    """Sort a pool's free pods. `template` is that of new pods; `unfit(pod)` says why its node takes no more.

    `volume_events` has the Events about volume claims by the claim's name.
    """
    free_pods = FreePods()
    for pod in pods:
        if pod.deletion_requested:
            continue
        state, finding = _state(pod, keys, now, volume_events.get(pod.volume_claim, ()))
        if finding:
            free_pods.findings[pod.uid] = finding
        if not (pod.template == template and keys.knows(pod.key_id)):
            free_pods.outdated[state].append(pod)
        elif state is PodState.READY and (why := unfit(pod)):
            free_pods.leaving.append(pod)
            free_pods.unfit = free_pods.unfit or f"Node {pod.node} {why}"
        else:
            free_pods.current[state].append(pod)
    return free_pods


def _state(
    pod: Pod, keys: MasterKeys, now: datetime, volume_events: Sequence[ClusterEvent]
) -> tuple[PodState, Finding | None]:
    if pod.is_finished:
        return PodState.FAILING, finished(_without_keys(pod, keys))
    if pod.is_ready:
        return PodState.READY, None
    finding = examine(pod)
    if lacks_volume(pod, now):
        cause = pod_events.find(pod, volume_events) or finding
        if cause.reason in _UNBOUND:
            return PodState.UNBOUND, cause
    if finding.reason not in _UNDER_WAY:
        state = PodState.WAITING if finding.reason is Reason.UNSCHEDULABLE else PodState.FAILING
        return state, examine(_without_keys(pod, keys))
    if now < pod.created + LONGEST_START:
        return PodState.STARTING, None
    minutes = LONGEST_START // timedelta(minutes=1)
    message = f"A pod is not ready after {minutes} minutes. {examine(_without_keys(pod, keys)).message}"
    return PodState.FAILING, Finding(finding.reason, message)


def _without_keys(pod: Pod, keys: MasterKeys) -> Pod:
    if not keys.knows(pod.key_id):
        return redacted_pod(pod, ())
    return redacted_pod(pod, (keys.session_key(pod.key_id), keys.secret_key(pod.key_id)))

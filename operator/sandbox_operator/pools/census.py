"""The free pods of a pool, sorted by what can be expected of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import Reason
from sandbox_operator.reporting.findings import Finding, examine, finished
from sandbox_operator.reporting.redaction import redacted_pod
from sandbox_operator.watching.pods import Pod

LONGEST_START = timedelta(minutes=10)
"""A pod that is not ready for so long counts as failing, though nobody says why."""

_UNDER_WAY = frozenset({Reason.PENDING, Reason.STARTING, Reason.CONTAINER_RESTARTING, Reason.VOLUME_NOT_BOUND})


class State(StrEnum):
    """How a free pod does. `WAITING`: no node has room for it."""

    READY = "ready"
    STARTING = "starting"
    WAITING = "waiting"
    FAILING = "failing"


@dataclass(slots=True)
class Pods:
    """Pods by their state."""

    by_state: dict[State, list[Pod]] = field(default_factory=lambda: {state: [] for state in State})

    def __getitem__(self, state: State) -> list[Pod]:
        return self.by_state[state]

    def count(self, *states: State) -> int:
        """How many are in one of these states; all of them when none is named."""
        return sum(len(self.by_state[state]) for state in states or State)


@dataclass(slots=True)
class Census:
    """Free pods that nobody has deleted: `current` are as new ones would be, `outdated` of an earlier template.

    `leaving` are ready, and their nodes take no more such pods, for which `unfit` has an example. `findings` are those
    of the pods that wait or fail, by UID.
    """

    current: Pods = field(default_factory=Pods)
    outdated: Pods = field(default_factory=Pods)
    leaving: list[Pod] = field(default_factory=list[Pod])
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    unfit: str = ""

    def count(self, *states: State) -> int:
        """The same of all pods."""
        leaving = len(self.leaving) if not states or State.READY in states else 0
        return self.current.count(*states) + self.outdated.count(*states) + leaving


def take_census(
    pods: Iterable[Pod], template: str, keys: MasterKeys, now: datetime, unfit: Callable[[Pod], str] = lambda _: ""
) -> Census:
    """Sort a pool's free pods. `template` is that of new pods; `unfit` says why a pod's node takes no more."""
    census = Census()
    for pod in pods:
        if pod.deletion_requested:
            continue
        state, finding = _state(pod, keys, now)
        if finding:
            census.findings[pod.uid] = finding
        if not (pod.template == template and keys.knows(pod.key_id)):
            census.outdated[state].append(pod)
        elif state is State.READY and (why := unfit(pod)):
            census.leaving.append(pod)
            census.unfit = census.unfit or f"Node {pod.node} {why}"
        else:
            census.current[state].append(pod)
    return census


def _state(pod: Pod, keys: MasterKeys, now: datetime) -> tuple[State, Finding | None]:
    if pod.is_finished:
        return State.FAILING, finished(_without_keys(pod, keys))
    if pod.is_ready:
        return State.READY, None
    finding = examine(pod)
    if finding.reason not in _UNDER_WAY:
        state = State.WAITING if finding.reason is Reason.UNSCHEDULABLE else State.FAILING
        return state, examine(_without_keys(pod, keys))
    if now < pod.created + LONGEST_START:
        return State.STARTING, None
    minutes = LONGEST_START // timedelta(minutes=1)
    message = f"A pod is not ready after {minutes} minutes. {examine(_without_keys(pod, keys)).message}"
    return State.FAILING, Finding(finding.reason, message)


def _without_keys(pod: Pod, keys: MasterKeys) -> Pod:
    if not keys.knows(pod.key_id):
        return redacted_pod(pod, ())
    return redacted_pod(pod, (keys.session_key(pod.key_id), keys.secret_key(pod.key_id)))

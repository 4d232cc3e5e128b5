"""The steps of a sandbox's life, as far as Kubernetes still knows them. Pure."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_args

from sandbox_common import times
from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import KubeObject
from sandbox_common.kube.unreadable import malformed
from sandbox_common.reasons import MEANINGS, Reason
from sandbox_crds.models import Condition, Sandbox
from sandbox_crds.names import CONTAINER
from sandbox_gateway.contract.responses import Source, Step

_ORDER = {step: place for place, step in enumerate(get_args(Step))}
_TRUST = {source: place for place, source in enumerate(get_args(Source))}
_SAME = timedelta(seconds=2)
"""Two sources that name a step at times that differ by less than this mean the same one."""
_MOST = 200
_OF_CONDITION: dict[str, Step] = {
    Reason.QUEUED: "queued",
    Reason.IDLE: "idle",
    Reason.SUSPENDED: "suspended",
    Reason.START_TIMEOUT: "suspended",
}
_OF_EVENT: dict[tuple[str, str], Step] = {
    ("Pod", "Scheduled"): "scheduled",
    ("Pod", "Pulling"): "pulling",
    ("Pod", "Started"): "booting",
    ("Pod", "Killing"): "ended",
    ("Sandbox", "SuspendedIdle"): "idle",
    ("Sandbox", "StartTimeout"): "suspended",
    ("Sandbox", "PodLost"): "lost",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """When a step began, and who says so."""

    step: Step
    time: datetime
    source: Source
    detail: str = ""


def history(sandbox: Sandbox, pod: Iterable[Moment], events: Iterable[ClusterEvent]) -> list[Moment]:
    """The steps in their order, each once. Of a warm pod, what was before the sandbox is not part of its life."""
    asked = times.parse(sandbox.metadata.creation_timestamp)
    found = [*_of_sandbox(sandbox), *pod, *_of_events(events)]
    found.sort(key=lambda moment: (_TRUST[moment.source], moment.time))
    kept: list[Moment] = []
    for moment in found:
        is_known = any(other.step == moment.step and abs(other.time - moment.time) <= _SAME for other in kept)
        if moment.time >= asked and not is_known:
            kept.append(moment)
    return sorted(kept, key=lambda moment: (moment.time, _ORDER[moment.step]))[-_MOST:]


def _of_sandbox(sandbox: Sandbox) -> Iterable[Moment]:
    status = sandbox.status
    yield from _at(sandbox.metadata.creation_timestamp, "asked", "sandbox", sandbox.spec.image)
    if status.launch == "Resume":
        yield from _at(status.start_time, "woken", "sandbox")
    if status.pull:
        yield from _at(status.pull.start_time, "pulling", "sandbox", status.pull.image)
    claimed = f"claimed from SandboxPool {status.pool}" if status.launch == "Warm" else ""
    yield from _at(status.ready_time, "ready", "sandbox", claimed)
    yield from _at(status.first_ready_time, "ready", "sandbox")
    if status.last_loss:
        yield from _at(status.last_loss.time, "lost", "sandbox", status.last_loss.reason)
    condition = status.condition("Ready")
    if condition is not None and (step := _step_of(condition)):
        detail = "" if step == "ready" else condition.reason
        yield from _at(condition.last_transition_time, step, "condition", detail)


def _step_of(condition: Condition) -> Step | None:
    if condition.status == "True":
        return "ready"
    if condition.reason in _OF_CONDITION or condition.reason not in Reason:
        return _OF_CONDITION.get(condition.reason)
    return "failed" if MEANINGS[Reason(condition.reason)].lifecycle == "error" else None


def _at(text: str, step: Step, source: Source, detail: str = "") -> Iterable[Moment]:
    """One moment; none without a readable time. Anybody who may write a status can write any text there."""
    with contextlib.suppress(ValueError):
        if text:
            yield Moment(step, times.parse(text), source, detail)


def _of_events(events: Iterable[ClusterEvent]) -> Iterable[Moment]:
    for event in events:
        if step := _OF_EVENT.get((event.kind, event.reason)):
            yield Moment(step, event.seen, "event", event.note)


@malformed("a Pod")
def moments_of_pod(pod: KubeObject) -> list[Moment]:
    """What a pod says of itself. Raises ValueError if it is malformed."""
    status: dict[str, Any] = pod.get("status") or {}
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    containers: list[dict[str, Any]] = status.get("containerStatuses") or []
    found: list[Moment] = []
    for condition in conditions:
        since: str = condition.get("lastTransitionTime") or ""
        if condition["type"] == "PodScheduled" and condition["status"] == "True" and since:
            node: str = pod["spec"].get("nodeName") or ""
            found.append(_of_pod("scheduled", since, f"on node {node}" if node else ""))
    for container in containers:
        if container["name"] == CONTAINER:
            found += _of_state(container.get("state") or {})
            found += _of_state(container.get("lastState") or {})
    return found


def _of_state(state: dict[str, dict[str, Any]]) -> Iterable[Moment]:
    """A run of the agent server."""
    running, ended = state.get("running") or {}, state.get("terminated") or {}
    if began := running.get("startedAt") or ended.get("startedAt"):
        yield _of_pod("booting", began)
    if end := ended.get("finishedAt"):
        yield _of_pod("ended", end, f"exit code {ended.get('exitCode', 0)}, {ended.get('reason') or 'no reason'}")


def _of_pod(step: Step, time: str, detail: str = "") -> Moment:
    return Moment(step, times.parse(time), "pod", detail)

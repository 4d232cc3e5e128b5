"""How long a sandbox may start, stay suspended and live, from spec, class and status. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox_common import times
from sandbox_common.kube import KubeObject
from sandbox_common.reasons import EXPIRIES, SUSPENSIONS, ExpiryReason
from sandbox_common.remedies import said, with_remedy
from sandbox_crds.models import Condition, Sandbox, SandboxClass
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.builders.volume import would_lose_workspace
from sandbox_operator.reporting.conditions import EXPIRING, READY, condition
from sandbox_operator.reporting.status import may_have_been_suspended, reports
from sandbox_operator.watching.pods import Pod

_LONGEST_NOTICE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A time limit, at whose `end` the sandbox is deleted. This is announced `notice` before."""

    reason: ExpiryReason
    end: datetime
    notice: timedelta


def nearest_limit(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None) -> TimeLimit | None:
    """The limit that ends first; None if no limit applies."""
    return min(_limits(sandbox, class_, pod), key=lambda limit: limit.end, default=None)


def announcement(sandbox: Sandbox, limit: TimeLimit | None, now: datetime) -> Condition | None:
    """The condition `Expiring`; None if no deletion is to be announced."""
    if limit is None or now < limit.end - limit.notice:
        return None
    announced = _announced(sandbox, limit)
    since = announced.last_transition_time if announced else times.rfc3339(now)
    expiry = EXPIRIES[limit.reason]
    return condition(
        EXPIRING,
        announced,
        holds=True,
        reason=limit.reason,
        message=with_remedy(f"It will be deleted at {times.rfc3339(_end(limit, since))}. {expiry.text}", expiry.remedy),
        generation=sandbox.metadata.generation,
        now=now,
    )


def expires_at(sandbox: Sandbox, limit: TimeLimit) -> datetime | None:
    """When the sandbox is deleted; None if this has not been announced yet.

    The whole notice must pass first, because the limit may be new, or the operator was away.
    """
    announced = _announced(sandbox, limit)
    return _end(limit, announced.last_transition_time) if announced else None


def next_step_at(sandbox: Sandbox, limit: TimeLimit, now: datetime) -> datetime:
    """When to announce the limit or, after the begin of its notice, when to delete the sandbox."""
    notice = limit.end - limit.notice
    if now < notice:
        return notice
    return expires_at(sandbox, limit) or max(limit.end, now + limit.notice)


def expiring_events(
    sandbox: Sandbox, limit: TimeLimit | None, expiring: Condition | None, now: datetime
) -> tuple[KubeObject, ...]:
    """The Event that is posted once, together with the condition."""
    if limit is None or expiring is None or _announced(sandbox, limit):
        return ()
    event = build_event(
        sandbox,
        now,
        type_="Warning",
        reason=EventReason.EXPIRING_SOON,
        action="Announce",
        note=f"{limit.reason}: {expiring.message}",
        once=f"{limit.reason.lower()}-{int(limit.end.timestamp()):x}",
    )
    return (event,)


def expired_event(sandbox: Sandbox, limit: TimeLimit, now: datetime) -> KubeObject:
    """The Event after the deletion of the sandbox."""
    return build_event(
        sandbox,
        now,
        type_="Normal",
        reason=EventReason.EXPIRED,
        action="Delete",
        note=f"{limit.reason}: deleted. {EXPIRIES[limit.reason].text}",
        once=sandbox.metadata.uid,
    )


def start_timeout_note(sandbox: Sandbox, class_: SandboxClass | None) -> str:
    """Why a start is given up, with the last message of its condition."""
    seconds = class_.spec.progress_deadline_seconds if class_ else 0
    condition = sandbox.status.condition(READY)
    last = f" Last: {condition.reason}: {said(sandbox.status, condition)}".rstrip(". ") + "." if condition else ""
    return f"The start took longer than the {seconds} s of progressDeadlineSeconds.{last}"


def start_timeout_event(sandbox: Sandbox, note: str, now: datetime) -> KubeObject:
    """The Event after the suspension of a sandbox that did not start in time."""
    return build_event(
        sandbox,
        now,
        type_="Warning",
        reason=EventReason.START_TIMEOUT,
        action="Suspend",
        note=note,
        once=f"{int(times.parse(sandbox.status.starting_since).timestamp()):x}",
    )


def start_deadline(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None) -> datetime | None:
    """When the start of a sandbox that was ready before is given up and the sandbox is suspended; None: never.

    Never if the pod itself was ready before, and its end would lose what is in /workspace since then.
    """
    if pod and _was_ready(sandbox, pod) and would_lose_workspace(class_, pod):
        return None
    seconds = _start_seconds(sandbox, class_, pod)
    since = _starting_since(sandbox)
    if not seconds or since is None or not sandbox.status.first_ready_time:
        return None
    return since + timedelta(seconds=seconds)


def _limits(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None) -> Iterator[TimeLimit]:
    spec, status = sandbox.spec, sandbox.status
    life = spec.maximum_life_seconds
    if life is None:
        life = class_.spec.maximum_life_seconds if class_ else 0
    if life:
        yield _limit(ExpiryReason.MAXIMUM_LIFE, times.parse(sandbox.metadata.creation_timestamp), life)
    kept = class_.spec.maximum_suspended_seconds if class_ and spec.suspend else 0
    ready = status.condition(READY)
    # If it was resumed and suspended again, the time begins again, but the status does not show this yet.
    if kept and ready and ready.reason in SUSPENSIONS.values() and not may_have_been_suspended(sandbox):
        yield _limit(ExpiryReason.SUSPENDED_TOO_LONG, times.parse(ready.last_transition_time), kept)
    seconds, since = _start_seconds(sandbox, class_, pod), _starting_since(sandbox)
    if seconds and since and not status.first_ready_time:
        yield _limit(ExpiryReason.NEVER_READY, since, seconds)


def _limit(reason: ExpiryReason, since: datetime, seconds: int) -> TimeLimit:
    span = timedelta(seconds=seconds)
    return TimeLimit(reason, since + span, min(span / 10, _LONGEST_NOTICE))


def _start_seconds(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None) -> int:
    """Maximum seconds of the present start; 0 if there is none, or no limit."""
    if sandbox.spec.suspend or class_ is None or (pod and pod.is_ready):
        return 0
    return class_.spec.progress_deadline_seconds


def _starting_since(sandbox: Sandbox) -> datetime | None:
    """When the present start began; None until the status reports it."""
    if may_have_been_suspended(sandbox) or not sandbox.status.starting_since:
        return None
    since = times.parse(sandbox.status.starting_since)
    try:
        return max(since, times.parse(sandbox.spec.restarted_at))
    except ValueError:
        return since


def _was_ready(sandbox: Sandbox, pod: Pod) -> bool:
    return reports(sandbox.status, pod) and bool(sandbox.status.ready_time)


def _announced(sandbox: Sandbox, limit: TimeLimit) -> Condition | None:
    condition = sandbox.status.condition(EXPIRING)
    return condition if condition and condition.reason == limit.reason else None


def _end(limit: TimeLimit, announced: str) -> datetime:
    return max(limit.end, times.parse(announced) + limit.notice)

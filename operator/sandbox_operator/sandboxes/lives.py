"""The steps of sandboxes' lives, for metrics.

Each write to a Sandbox names the version that it changes, so the API server accepts only one write for each version.
The operator whose write is accepted counts what this write has changed, so nothing is counted twice, however many
operators there are. If the answer is lost, the watch shows whether the write was accepted.
"""

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import product

from sandbox_common import times
from sandbox_common.kube import FAILURES as API_FAILURES
from sandbox_common.kube.errors import may_have_succeeded
from sandbox_common.losses import LossReason
from sandbox_common.reasons import MEANINGS, SUSPENSIONS, ExpiryReason, Reason
from sandbox_common.recent import remember
from sandbox_crds.models import Sandbox
from sandbox_operator.process import metrics
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.status import may_have_been_suspended
from sandbox_operator.sandboxes.lost_answers import Change, Writes
from sandbox_operator.watching.pods import Pod

FAILURES = frozenset(
    reason for reason, meaning in MEANINGS.items() if meaning.passing or meaning.lifecycle == "error"
) - {Reason.QUEUED, Reason.TERMINATING}
"""Reasons that report a failure: both those that retries cannot repair and those that may pass."""

_INTERRUPTIONS = frozenset({Reason.NOT_RESPONDING, Reason.POD_NOT_READY, Reason.NODE_LOST, Reason.CONTAINER_RESTARTING})
"""Reasons of a pod that has been ready and may be ready again."""

_RESOLUTION = timedelta(seconds=1)
"""Of times in the API."""


class Phase(Enum):
    """What a sandbox does."""

    STARTING = auto()
    RUNNING = auto()
    FAILED = auto()
    SUSPENDED = auto()
    """It is suspended, or about to be."""
    ENDING = auto()


@dataclass(frozen=True, slots=True)
class Steps:
    """What has changed between two versions of a Sandbox, as labels of metrics; "": nothing of this kind."""

    start: str = ""
    """The result of a start that has ended, `Ready` or `Failed`."""
    suspension: str = ""
    failure: str = ""
    loss: str = ""


@dataclass(slots=True)
class Start:
    """A start in progress. `began` is when this process saw it begin, or an earlier time from the API.

    `again` is `Resume` or `Restart`, or "" for the first start. `answers_since` is when the watch showed that its pod
    is ready.
    """

    began: datetime
    again: str = ""
    answers_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Expiry:
    """A deletion by this operator. `start` was in progress before."""

    sandbox: Sandbox
    reason: ExpiryReason
    start: Start | None


def reported_reason(sandbox: Sandbox) -> Reason:
    """The reason of the condition `Ready`; `Pending` if there is none, or an unknown one."""
    condition = sandbox.status.condition(READY)
    return Reason(condition.reason) if condition and condition.reason in Reason else Reason.PENDING


def phase(sandbox: Sandbox) -> Phase:
    """What the sandbox does, by its spec and by what is reported of it."""
    reason = reported_reason(sandbox)
    if sandbox.metadata.deletion_timestamp:
        return Phase.ENDING
    if sandbox.spec.suspend:
        return Phase.SUSPENDED
    if reason is Reason.READY or (reason in _INTERRUPTIONS and sandbox.status.ready_time):
        return Phase.RUNNING
    return Phase.FAILED if MEANINGS[reason].lifecycle == "error" else Phase.STARTING


def steps(before: Sandbox, after: Sandbox) -> Steps:
    """What one write has changed, from one version to the next one."""
    was, reason = reported_reason(before), reported_reason(after)
    is_suspended, was_suspended = reason in SUSPENSIONS.values(), was in SUSPENSIONS.values()
    is_another = is_suspended and (not was_suspended or may_have_been_suspended(before))
    loss = after.status.last_loss
    return Steps(
        start=_result(before, after),
        suspension=(after.spec.suspend_reason or "Requested") if is_another else "",
        failure=reason if reason in FAILURES and reason is not was else "",
        loss=loss.reason if loss and loss != before.status.last_loss else "",
    )


def _result(before: Sandbox, after: Sandbox) -> str:
    is_starting = phase(before) is Phase.STARTING
    match phase(after):
        case Phase.RUNNING if reported_reason(after) is Reason.READY:
            # A lost pod may have been replaced before anything else was reported.
            return "Ready" if is_starting or after.status.pod_uid != before.status.pod_uid else ""
        case Phase.FAILED:
            return "Failed" if is_starting else ""
        case Phase.SUSPENDED:
            return "Failed" if is_starting and after.spec.suspend_reason == "StartTimeout" else ""
        case _:
            return ""


def began(sandbox: Sandbox, seen: datetime) -> datetime:
    """When a start began that is in progress when this process sees the sandbox for the first time.

    `seen` for a new sandbox, because times in the API have whole seconds; otherwise the time that the API has.
    """
    status = sandbox.status
    if may_have_been_suspended(sandbox) or (status.first_ready_time and not status.starting_since):
        return seen
    stored = _time(status.starting_since or sandbox.metadata.creation_timestamp, seen)
    return seen if seen < stored + _RESOLUTION else stored


def _time(text: str, otherwise: datetime) -> datetime:
    """A time of the API. Anyone may have written any text there."""
    try:
        return times.parse(text)
    except ValueError:
        return otherwise


class Lives:
    """What is known of the lives of a namespace's sandboxes. Each change costs the same, however many there are.

    Tell it every change of the cache, also while this operator stands by: a new leader then knows when starts began.
    """

    def __init__(self) -> None:
        self.leads: Callable[[], bool] = lambda: False
        """Whether this operator leads. Only then it counts pulls and deletions by others, which it sees in watches.

        By the clock: one that was frozen gets what has happened meanwhile before its term ends.
        """
        self._known: dict[str, tuple[str, Reason, Phase]] = {}
        """UID, reason and phase by name."""
        self._counts: Counter[Reason] = Counter()
        self._starts: dict[str, Start] = {}
        self._writes = Writes()
        self._expiring: dict[str, _Expiry] = {}
        """Deletions by this operator, by UID."""
        self._deleted: dict[str, None] = {}
        """UIDs of the sandboxes whose deletion is counted."""
        _begin_at_zero()

    def count(self, reason: Reason) -> int:
        """Number of sandboxes with this reason."""
        return self._counts[reason]

    def sandbox_changed(self, name: str, sandbox: Sandbox | None, now: datetime) -> None:
        """Take the present version of a sandbox; None: it is gone."""
        uid, reason, former = self._known.pop(name, ("", Reason.PENDING, None))
        if former:
            self._counts[reason] -= 1
        if former and (sandbox is None or sandbox.metadata.uid != uid):
            self._gone(name, uid, now)
            former = None
        if sandbox is None:
            return
        self._writes.see(sandbox)
        reason, present = reported_reason(sandbox), phase(sandbox)
        self._known[name] = sandbox.metadata.uid, reason, present
        self._counts[reason] += 1
        if present is not Phase.STARTING:
            self._starts.pop(name, None)
        elif former is None:
            again = "Resume" if sandbox.status.first_ready_time else ""
            self._starts[name] = Start(began(sandbox, now), again)
        elif former is not Phase.STARTING:
            self._starts[name] = Start(now, "Resume" if former is Phase.SUSPENDED else "Restart")

    def pod_changed(self, before: Pod | None, pod: Pod | None, now: datetime) -> None:
        """Take a change of a pod."""
        was_ready = before is not None and before.is_ready
        start = self._starts.get(pod.sandbox) if pod else None
        if start and pod and pod.is_ready != was_ready:
            start.answers_since = now if pod.is_ready else None

    def pulled(self, seconds: float) -> None:
        """Take a pull that is over."""
        if self.leads():
            metrics.PULL_SECONDS.observe(seconds)

    def start(self, sandbox: Sandbox) -> Start | None:
        """The start in progress."""
        return self._starts.get(sandbox.metadata.name)

    def writing(
        self, before: Sandbox, change: Change, now: Callable[[], datetime]
    ) -> AbstractContextManager[Callable[[Sandbox], None]]:
        """Count the steps of a write that is made inside. Call what this gives with the stored Sandbox.

        If the answer is lost, the steps are counted once the watch shows that the write was accepted.
        """
        # The watch may show the end of a start sooner than the answer comes.
        start = self.start(before)
        return self._writes.writing(before, change, lambda after: self._count(before, after, start, now()))

    @contextmanager
    def expiring(self, sandbox: Sandbox, reason: ExpiryReason, now: datetime) -> Generator[None]:
        """Count the sandbox's deletion by the operator itself, which happens inside."""
        uid = sandbox.metadata.uid
        # The watch may show the deletion sooner than the answer comes, or instead.
        remember(self._expiring, uid, _Expiry(sandbox, reason, self.start(sandbox)))
        try:
            yield
        except API_FAILURES as failure:
            if not may_have_succeeded(failure):
                self._expiring.pop(uid, None)
            raise
        self._count_deletion(uid, now)

    def _count(self, before: Sandbox, after: Sandbox, start: Start | None, now: datetime) -> None:
        """Count the steps of an accepted write."""
        made = steps(before, after)
        if made.start:
            self._count_start(after, made.start, start, now)
        if made.suspension:
            metrics.SUSPENSIONS.labels(made.suspension).inc()
        if made.failure:
            metrics.FAILURES.labels(made.failure).inc()
        if made.loss:
            metrics.LOSSES.labels(made.loss).inc()

    def _count_start(self, sandbox: Sandbox, result: str, start: Start | None, now: datetime) -> None:
        status = sandbox.status
        if start is None:
            start = Start(_time(status.start_time, now), "Restart")
        seconds = max((now - start.began).total_seconds(), 0.0)
        metrics.START_SECONDS.labels(start.again or status.launch or "Cold", result).observe(seconds)
        if result == "Ready" and start.answers_since:
            metrics.STATUS_LAG_SECONDS.observe(max((now - start.answers_since).total_seconds(), 0.0))

    def _gone(self, name: str, uid: str, now: datetime) -> None:
        self._starts.pop(name, None)
        self._writes.forget(uid)
        if self.leads():
            self._count_deletion(uid, now)

    def _count_deletion(self, uid: str, now: datetime) -> None:
        """Count it once: the answer and several watches may show it, and a late event may show the sandbox again."""
        expiry = self._expiring.pop(uid, None)
        if uid in self._deleted:
            return
        remember(self._deleted, uid, None)
        metrics.DELETIONS.labels(expiry.reason if expiry else "Requested").inc()
        if expiry and expiry.reason is ExpiryReason.NEVER_READY and phase(expiry.sandbox) is Phase.STARTING:
            self._count_start(expiry.sandbox, "Failed", expiry.start, now)


def _begin_at_zero() -> None:
    """Let all series exist. Prometheus does not see the first increase of one that begins with 1."""
    for launch, result in product(("Cold", "Warm", "Resume", "Restart"), ("Ready", "Failed")):
        metrics.START_SECONDS.labels(launch, result)
    for counter, values in (
        (metrics.SUSPENSIONS, ("Requested", "Idle", "StartTimeout")),
        (metrics.DELETIONS, ("Requested", *ExpiryReason)),
        (metrics.FAILURES, FAILURES),
        (metrics.LOSSES, LossReason),
    ):
        for value in values:
            counter.labels(value)

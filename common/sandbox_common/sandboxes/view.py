"""A Sandbox as clients of the Runtime API see it. Pure: the time and the gateway's own probe are passed in."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sandbox_common import times
from sandbox_common.pulls import pull_words_at
from sandbox_common.reasons import MEANINGS, SUSPENSIONS, Lifecycle, PodStatus, Reason
from sandbox_crds.models import Condition, Sandbox, SandboxClassSpec

_UNREACHED = "The pod is ready; the gateway has not reached its /health yet."

_NORMAL = frozenset({Reason.PENDING, Reason.STARTING, Reason.SUSPENDING, Reason.SUSPENDED, Reason.IDLE})


@dataclass(frozen=True, slots=True)
class View:
    """Both states of the contract, and their explanation.

    `reason` is that of the condition `Ready`. At `changes_at` this view changes although the Sandbox does not: a
    delayed start fails then.
    """

    status: Lifecycle
    pod_status: PodStatus
    reason: str
    message: str
    restart_count: int = 0
    changes_at: datetime | None = None
    unreached: bool = False
    """Whether only the gateway's own probe is missing."""
    refused: int = 0
    """The HTTP status of that probe, if it failed."""
    suspended: bool = False
    """Whether the sandbox is paused and its pod is gone."""

    @property
    def ready(self) -> bool:
        """Whether the agent server answers."""
        return self.pod_status == "ready"

    @property
    def normal(self) -> bool:
        """Whether nothing is wrong: it runs, starts as usual, or is paused by a user or for idleness."""
        return self.ready or self.reason in _NORMAL

    @property
    def summary(self) -> str:
        """Reason and message in one line."""
        return with_reason(self.reason, self.message)


def with_reason(reason: str, message: str) -> str:
    """`Reason: message`; the reason is a word that people and tools look for, such as `ImagePullBackOff`."""
    if message.startswith(reason):
        return message
    return f"{reason}: {message}" if message else reason


def view(sandbox: Sandbox, now: datetime, *, reached: bool, class_: SandboxClassSpec, left: bool) -> View:
    """The view of this sandbox at `now` (with time zone). `reached` says whether the gateway's probe succeeded.

    `left` is as for `current_condition`.
    """
    condition = current_condition(sandbox, left=left) or _pending(sandbox)
    reason = Reason(condition.reason) if condition.reason in Reason else Reason.PENDING
    message = condition.message or MEANINGS[reason].text
    if reason is Reason.STARTING and sandbox.status.pull:
        message = pull_words_at(sandbox.status.pull, now)
    restarts = sandbox.status.restart_count

    if sandbox.spec.suspend:
        gone = reason in SUSPENSIONS.values()
        if not gone and reason is not Reason.SUSPENDING:
            reason, message = Reason.SUSPENDING, MEANINGS[Reason.SUSPENDING].text
        return View("paused", "not found", reason, message, restarts, suspended=gone)
    if condition.status == "True":
        if reached:
            return View("running", "ready", condition.reason, message, restarts)
        return View("starting", "pending", Reason.STARTING, _UNREACHED, restarts, unreached=True)

    meaning = MEANINGS[reason]
    if meaning.lifecycle not in {"starting", "error"}:
        # An outdated condition, such as Suspended on a sandbox that is resumed.
        return View("starting", "pending", Reason.PENDING, MEANINGS[Reason.PENDING].text, restarts)
    timeout = pending_timeout(sandbox, class_)
    since = starting_since(sandbox)
    fails_at = since + timedelta(seconds=timeout) if meaning.passing and timeout and since else None
    if fails_at and now >= fails_at:
        cause = message.removeprefix(f"{condition.reason}: ")
        waited = f"Not ready after {timeout} s (pendingTimeoutSeconds): {cause}"
        return View("error", "failed", condition.reason, waited, restarts)
    return View(meaning.lifecycle, meaning.pod_status, condition.reason, message, restarts, changes_at=fails_at)


def pending_timeout(sandbox: Sandbox, class_: SandboxClassSpec) -> int:
    """Seconds for which a start may be delayed before it counts as failed; 0: never."""
    own = sandbox.spec.pending_timeout_seconds
    return class_.pending_timeout_seconds if own is None else own


def starting_since(sandbox: Sandbox) -> datetime | None:
    """When the start in progress began; None when there is none. A restart counts as a new start."""
    if not sandbox.status.starting_since:
        return None
    since = times.parse(sandbox.status.starting_since)
    try:
        restarted = times.parse(sandbox.spec.restarted_at)
    except ValueError:
        return since
    return max(since, restarted)


def is_seen(sandbox: Sandbox) -> bool:
    """Whether the operator has seen the latest spec."""
    return sandbox.status.observed_generation >= sandbox.metadata.generation


def is_restarted(sandbox: Sandbox) -> bool:
    """Whether a restart by the spec ends the pod in the status, or has ended it."""
    return sandbox.status.start_time < sandbox.spec.restarted_at


def is_reachable(sandbox: Sandbox) -> bool:
    """Whether the address in the status is the agent server's, and it may answer there.

    An agent server that misses its readiness probe for some seconds still works, so requests go there nevertheless. If
    it does not answer, the request fails.
    """
    condition = sandbox.status.condition("Ready")
    if condition is None or not sandbox.status.pod_ip:
        return False
    if condition.status == "True":
        return True
    return condition.reason in Reason and MEANINGS[Reason(condition.reason)].reachable


def current_condition(sandbox: Sandbox, *, left: bool) -> Condition | None:
    """The condition `Ready`, if it still counts. This is the only place that decides whether a sandbox is up.

    A serving pod keeps serving while the operator has not seen the latest spec, unless the pod has `left`
    (`Suspensions.has_left`): the sandbox has been suspended or restarted since. Any other condition is outdated.
    """
    counts = is_seen(sandbox) or (is_reachable(sandbox) and not left)
    return sandbox.status.condition("Ready") if counts else None


def _pending(sandbox: Sandbox) -> Condition:
    return Condition(
        type="Ready",
        status="False",
        reason=Reason.PENDING,
        message=MEANINGS[Reason.PENDING].text,
        last_transition_time=sandbox.metadata.creation_timestamp,
    )

"""Decides which of an owner's sandboxes may start, and in which order. Exact, because only the leader decides.

The reconciler asks before it makes or claims the first pod of a run. An admitted sandbox counts until it is deleted, or
until it is suspended and its pod is gone or ending, so a lost pod is replaced without asking again. All of this is in
memory; it is read from the objects when a term begins.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sandbox_common import times
from sandbox_common.api_keys import Limits
from sandbox_common.limits import reached
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox
from sandbox_operator.limits.usage import MINUTE, OwnerUsage, shortage
from sandbox_operator.process import metrics
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.status import may_have_been_suspended
from sandbox_operator.watching.pods import Pod

_SETTLING = timedelta(seconds=2)
"""How long writes of the former leader may still arrive after a change of leaders."""

_ASK_AGAIN = timedelta(seconds=15)
"""A waiting sandbox is woken when it is next. This interval covers changes that the operator has not seen."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Why a limit of its owner keeps a sandbox from starting, since when, and when to ask again."""

    reason: Reason
    message: str
    since: datetime
    again: datetime


class StartQueue:
    """The usage and the waiting starts of all owners, by the names of their sandboxes.

    `limits(owner)` returns the limits in force. `wake(name)` makes the operator look at a sandbox again. Sandboxes
    without an owner have no limits.
    """

    def __init__(self, limits: Callable[[str], Limits], wake: Callable[[str], None]) -> None:
        self._limits = limits
        self._settled: datetime | None = None
        self._wake = wake
        self._usages: dict[str, OwnerUsage] = {}
        self._known: dict[str, tuple[str, str]] = {}
        self._tidied = datetime.min.replace(tzinfo=UTC)

    @property
    def waiting(self) -> int:
        """Number of sandboxes that wait."""
        return sum(len(usage.waiting) for usage in self._usages.values())

    def began(self, now: datetime) -> None:
        """Note that a term begins. The last requests of the former leader may still succeed for a while."""
        self._settled = now + _SETTLING

    def ready_at(self, sandbox: Sandbox, now: datetime) -> datetime | None:
        """Earliest time at which this sandbox may ask; None for now."""
        if self._settled is None or now >= self._settled or self._limits(sandbox.spec.owner) == Limits():
            return None
        return self._settled

    def restore(self, name: str, sandbox: Sandbox, pod: Pod | None, now: datetime) -> None:
        """Take a sandbox and its pod at the beginning of a term."""
        if not sandbox.spec.owner:
            return
        self.look(name, sandbox, pod)
        usage, status = self._usage(name, sandbox), sandbox.status
        if pod and now - (began := pod.claimed or pod.created) < MINUTE:
            insort(usage.started, (began, name))
        if sandbox.spec.suspend or sandbox.metadata.deletion_timestamp:
            return
        if status.pod_uid and not may_have_been_suspended(sandbox):
            # Its pod was ended by others, not by a suspension.
            usage.running.add(name)
        condition = status.condition(READY)
        if condition and condition.reason == Reason.QUEUED and name not in usage.running:
            usage.waiting[name] = times.parse(condition.last_transition_time), name

    def look(self, name: str, sandbox: Sandbox, pod: Pod | None) -> None:
        """Take the present state of a sandbox and of its own pod."""
        if not sandbox.spec.owner or (sandbox.metadata.deletion_timestamp and pod is None):
            self.forget(name)
            return
        usage = self._usage(name, sandbox)
        if pod or sandbox.status.launch:
            usage.launched.add(name)
        if pod and not pod.deletion_requested:
            usage.running.add(name)
            if usage.waiting.pop(name, None):
                # An earlier request for a pod has succeeded after all.
                self._call_next(usage)
        elif sandbox.spec.suspend or sandbox.metadata.deletion_timestamp:
            self._leave(usage, name)

    def ask(self, name: str, sandbox: Sandbox, now: datetime) -> HeldBack | None:
        """None if the sandbox may start, and then it counts from now on. Otherwise why not, and when to ask again.

        A sandbox that has had a pod before waits without a limit. A new one is refused if too many wait already.
        """
        if not sandbox.spec.owner:
            return None
        self._tidy(now)
        usage = self._usage(name, sandbox)
        if name in usage.running:
            return None
        ahead = usage.ahead_of(name)
        lack = shortage(usage, self._limits(sandbox.spec.owner), name, ahead, now)
        if lack is None:
            usage.running.add(name)
            usage.launched.add(name)
            usage.started.append((now, name))
            if waited := usage.waiting.pop(name, None):
                metrics.HELD_BACK_SECONDS.observe((now - waited[0]).total_seconds())
                self._call_next(usage)
            return None
        again, second = now + _ASK_AGAIN, now.replace(microsecond=0)
        message = reached(lack.limit, lack.value, sandbox.spec.owner)
        if not (name in usage.waiting or sandbox.status.launch or len(ahead) < lack.places):
            return HeldBack(Reason.LIMIT_REACHED, message, second, again)
        since, _ = usage.waiting.setdefault(name, (second, name))
        return HeldBack(Reason.QUEUED, message, since, min(again, lack.since + MINUTE) if lack.since else again)

    def withdraw(self, name: str, sandbox: Sandbox, pod: Pod | None) -> None:
        """Note that the sandbox no longer wants to start, or that the cluster refused its pod. Then it uses nothing."""
        usage = self._usages.get(sandbox.spec.owner)
        if usage is None or pod is not None:
            return
        if not sandbox.status.launch:
            usage.launched.discard(name)
        if name in usage.running:
            usage.started = deque(start for start in usage.started if start[1] != name)
        self._leave(usage, name)

    def forget(self, name: str) -> None:
        """Forget a sandbox that is gone."""
        _, owner = self._known.pop(name, ("", ""))
        if usage := self._usages.get(owner):
            usage.launched.discard(name)
            self._leave(usage, name)

    def limits_changed(self) -> None:
        """Wake the first waiting sandbox of each owner. Each one that starts wakes the next one."""
        for usage in self._usages.values():
            self._call_next(usage)

    def _usage(self, name: str, sandbox: Sandbox) -> OwnerUsage:
        """The usage of the sandbox's owner. An earlier sandbox of the same name is forgotten."""
        uid, owner = sandbox.metadata.uid, sandbox.spec.owner
        if name in self._known and self._known[name] != (uid, owner):
            self.forget(name)
        self._known[name] = uid, owner
        return self._usages.setdefault(owner, OwnerUsage())

    def _tidy(self, now: datetime) -> None:
        """Once a minute, forget owners that use nothing."""
        if now - self._tidied < MINUTE:
            return
        self._tidied = now
        for owner, usage in list(self._usages.items()):
            if usage.is_over(now):
                del self._usages[owner]

    def _leave(self, usage: OwnerUsage, name: str) -> None:
        if usage.waiting.pop(name, None) or name in usage.running:
            usage.running.discard(name)
            self._call_next(usage)

    def _call_next(self, usage: OwnerUsage) -> None:
        if first := usage.first():
            self._wake(first)

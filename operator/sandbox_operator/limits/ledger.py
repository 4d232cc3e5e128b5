"""Who of an owner's sandboxes may start: exact, since one leader alone admits.

A sandbox asks before the first pod of a run is made or claimed, and keeps its place until it is deleted, or suspended
with its pod gone or ending. So a pod that is lost is made anew without asking. All of this is in memory, and read from
the objects again when a term begins.
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
from sandbox_operator.limits.account import MINUTE, Account, shortage
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.status import may_have_been_suspended
from sandbox_operator.watching.pods import Pod

_SETTLING = timedelta(seconds=2)
"""After a change of leaders."""

_ASK_AGAIN = timedelta(seconds=15)
"""Who waits is called when it is its turn; this is for what nobody has told."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Which limit of its owner keeps a sandbox from starting, since when, and when to ask again."""

    reason: Reason
    message: str
    since: datetime
    again: datetime


class Ledger:
    """Sandboxes by name, of all owners. `limits(owner)` are those in force; `wake(name)`: look at this sandbox again.

    Sandboxes without an owner have no limits.
    """

    def __init__(self, limits: Callable[[str], Limits], wake: Callable[[str], None]) -> None:
        self._limits = limits
        self._settled: datetime | None = None
        self._wake = wake
        self._accounts: dict[str, Account] = {}
        self._known: dict[str, tuple[str, str]] = {}
        self._tidied = datetime.min.replace(tzinfo=UTC)

    @property
    def waiting(self) -> int:
        """How many sandboxes wait for their turn."""
        return sum(len(account.waiting) for account in self._accounts.values())

    def began(self, now: datetime) -> None:
        """A term begins: what the leader before has asked for last may still come through for a while."""
        self._settled = now + _SETTLING

    def ready_at(self, sandbox: Sandbox, now: datetime) -> datetime | None:
        """When this sandbox may ask; None: now."""
        if self._settled is None or now >= self._settled or self._limits(sandbox.spec.owner) == Limits():
            return None
        return self._settled

    def restore(self, name: str, sandbox: Sandbox, pod: Pod | None, now: datetime) -> None:
        """Read one sandbox at the beginning of a term."""
        if not sandbox.spec.owner:
            return
        self.look(name, sandbox, pod)
        account, status = self._account(name, sandbox), sandbox.status
        if pod and now - (began := pod.claimed or pod.created) < MINUTE:
            insort(account.started, (began, name))
        if sandbox.spec.suspend or sandbox.metadata.deletion_timestamp:
            return
        if status.pod_uid and not may_have_been_suspended(sandbox):
            # Somebody else has ended its pod, or its node has.
            account.running.add(name)
        condition = status.condition(READY)
        if condition and condition.reason == Reason.QUEUED and name not in account.running:
            account.waiting[name] = times.parse(condition.last_transition_time), name

    def look(self, name: str, sandbox: Sandbox, pod: Pod | None) -> None:
        """Take in what is known of a sandbox and of its own pod."""
        if not sandbox.spec.owner or (sandbox.metadata.deletion_timestamp and pod is None):
            self.forget(name)
            return
        account = self._account(name, sandbox)
        if pod or sandbox.status.launch:
            account.launched.add(name)
        if pod and not pod.deletion_requested:
            account.running.add(name)
            if account.waiting.pop(name, None):
                # An earlier request for a pod has come through after all.
                self._call_next(account)
        elif sandbox.spec.suspend or sandbox.metadata.deletion_timestamp:
            self._leave(account, name)

    def ask(self, name: str, sandbox: Sandbox, now: datetime) -> HeldBack | None:
        """None: the sandbox may start, and counts from now on. Else why not, and when to ask again at the latest.

        What was started before waits as long as need be; a new one is refused when too many wait already.
        """
        if not sandbox.spec.owner:
            return None
        self._tidy(now)
        account = self._account(name, sandbox)
        if name in account.running:
            return None
        ahead = account.ahead_of(name)
        lack = shortage(account, self._limits(sandbox.spec.owner), name, ahead, now)
        waited = name in account.waiting
        if lack is None:
            account.waiting.pop(name, None)
            account.running.add(name)
            account.launched.add(name)
            account.started.append((now, name))
            if waited:
                self._call_next(account)
            return None
        again, second = now + _ASK_AGAIN, now.replace(microsecond=0)
        told = reached(lack.limit, lack.value, sandbox.spec.owner)
        if not (waited or sandbox.status.launch or len(ahead) < lack.places):
            return HeldBack(Reason.LIMIT_REACHED, told, second, again)
        since, _ = account.waiting.setdefault(name, (second, name))
        return HeldBack(Reason.QUEUED, told, since, min(again, lack.since + MINUTE) if lack.since else again)

    def withdraw(self, name: str, sandbox: Sandbox, pod: Pod | None) -> None:
        """It does not ask any more, or what it asked for was refused by the cluster: without a pod it takes nothing."""
        account = self._accounts.get(sandbox.spec.owner)
        if account is None or pod is not None:
            return
        if not sandbox.status.launch:
            account.launched.discard(name)
        if name in account.running:
            account.started = deque(start for start in account.started if start[1] != name)
        self._leave(account, name)

    def forget(self, name: str) -> None:
        """The sandbox is gone."""
        _, owner = self._known.pop(name, ("", ""))
        if account := self._accounts.get(owner):
            account.launched.discard(name)
            self._leave(account, name)

    def limits_changed(self) -> None:
        """Whose turn it is asks again; each that starts then calls the next one."""
        for account in self._accounts.values():
            self._call_next(account)

    def _account(self, name: str, sandbox: Sandbox) -> Account:
        """Its owner's. What was known of an earlier sandbox of this name is forgotten."""
        uid, owner = sandbox.metadata.uid, sandbox.spec.owner
        if name in self._known and self._known[name] != (uid, owner):
            self.forget(name)
        self._known[name] = uid, owner
        return self._accounts.setdefault(owner, Account())

    def _tidy(self, now: datetime) -> None:
        """Once a minute, forget owners of whom there is nothing any more."""
        if now - self._tidied < MINUTE:
            return
        self._tidied = now
        for owner, account in list(self._accounts.items()):
            if account.is_over(now):
                del self._accounts[owner]

    def _leave(self, account: Account, name: str) -> None:
        if account.waiting.pop(name, None) or name in account.running:
            account.running.discard(name)
            self._call_next(account)

    def _call_next(self, account: Account) -> None:
        if first := account.first():
            self._wake(first)

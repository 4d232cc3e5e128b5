"""What one owner's sandboxes take of its limits, and what another start would lack: pure."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox_common.api_keys import Limits
from sandbox_common.limits import Limit

MINUTE = timedelta(seconds=60)

_MINUTES_TO_WAIT = 4
"""A start that would wait longer than this is refused: the SDK gives up after 300 s (openhands_workspace 1.58.2)."""

type Place = tuple[datetime, str]
"""Since when a sandbox waits, in whole seconds, and its name, which orders those of the same second.

Both are in the Sandbox, so that gateways tell the places that the leader goes by.
"""


@dataclass(slots=True)
class Account:
    """An owner's sandboxes by name: those that start or run, those that ever had a pod, and those that wait.

    `started` are the starts of the last minute, the oldest first, each with its sandbox.
    """

    running: set[str] = field(default_factory=set[str])
    launched: set[str] = field(default_factory=set[str])
    waiting: dict[str, Place] = field(default_factory=dict[str, Place])
    started: deque[tuple[datetime, str]] = field(default_factory=deque[tuple[datetime, str]])

    def pass_minute(self, now: datetime) -> None:
        """Forget the starts that are no longer of the last minute."""
        while self.started and now - self.started[0][0] >= MINUTE:
            self.started.popleft()

    def is_over(self, now: datetime) -> bool:
        """Whether nothing of this owner counts any more."""
        self.pass_minute(now)
        return not (self.running or self.launched or self.waiting or self.started)

    def first(self) -> str | None:
        """Whose turn is next."""
        return min(self.waiting, key=self.waiting.__getitem__, default=None)

    def ahead_of(self, name: str) -> list[str]:
        """Those who wait and come before this sandbox; one that does not wait yet would be the last."""
        place = self.waiting.get(name)
        return [other for other, theirs in self.waiting.items() if place is None or theirs < place]


@dataclass(frozen=True, slots=True)
class Shortage:
    """Which limit leaves no room. So many may wait for some; if `since` is known, there is some a minute later."""

    limit: Limit
    value: int
    places: int
    since: datetime | None = None


def shortage(account: Account, limits: Limits, name: str, ahead: Collection[str], now: datetime) -> Shortage | None:
    """What a start of this sandbox, with these ahead of it, would lack; None: nothing."""
    account.pass_minute(now)
    return (
        _sandboxes(account, limits.sandboxes, name, ahead)
        or _running(account, limits.running, len(ahead))
        or _starts(account, limits.starts_per_minute, len(ahead))
    )


def _sandboxes(account: Account, limit: int | None, name: str, ahead: Collection[str]) -> Shortage | None:
    if limit is None or name in account.launched:
        return None
    if len(account.launched) + sum(other not in account.launched for other in ahead) < limit:
        return None
    return Shortage("sandboxes", limit, places=0)


def _running(account: Account, limit: int | None, ahead: int) -> Shortage | None:
    if limit is None or len(account.running) + ahead < limit:
        return None
    return Shortage("running", limit, places=limit)


def _starts(account: Account, limit: int | None, ahead: int) -> Shortage | None:
    if limit is None or len(account.started) + ahead < limit:
        return None
    index = len(account.started) + ahead - limit
    since = account.started[index][0] if index < len(account.started) else None
    return Shortage("startsPerMinute", limit, places=_MINUTES_TO_WAIT * limit, since=since)

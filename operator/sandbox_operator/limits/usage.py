"""What one owner's sandboxes use of its limits, and which limit another start would exceed. Pure."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox_common.api_keys import Limits
from sandbox_common.limits import Limit

MINUTE = timedelta(seconds=60)

_MINUTES_TO_WAIT = 4
"""A start that would wait for more minutes is refused: the SDK gives up after 300 s (openhands_workspace 1.58.2)."""

type Place = tuple[datetime, str]
"""When a sandbox began to wait, in whole seconds, and its name, which orders sandboxes of the same second.

Both are in the Sandbox, so that gateways can report the places in the queue that the leader uses.
"""


@dataclass(slots=True)
class OwnerUsage:
    """An owner's sandboxes by name: those that start or run, those that have ever had a pod, and those that wait.

    `started` has the starts of the last minute, oldest first, each with the sandbox's name.
    """

    running: set[str] = field(default_factory=set[str])
    launched: set[str] = field(default_factory=set[str])
    waiting: dict[str, Place] = field(default_factory=dict[str, Place])
    started: deque[tuple[datetime, str]] = field(default_factory=deque[tuple[datetime, str]])

    def pass_minute(self, now: datetime) -> None:
        """Forget starts that are older than a minute."""
        while self.started and now - self.started[0][0] >= MINUTE:
            self.started.popleft()

    def is_over(self, now: datetime) -> bool:
        """Whether this owner uses nothing."""
        self.pass_minute(now)
        return not (self.running or self.launched or self.waiting or self.started)

    def first(self) -> str | None:
        """Name of the sandbox that is next in the queue."""
        return min(self.waiting, key=self.waiting.__getitem__, default=None)

    def ahead_of(self, name: str) -> list[str]:
        """Names of the waiting sandboxes that come before this one. One that does not wait yet would be the last."""
        place = self.waiting.get(name)
        return [other for other, theirs in self.waiting.items() if place is None or theirs < place]


@dataclass(frozen=True, slots=True)
class Shortage:
    """The limit that leaves no room, its value, and how many starts may wait for room.

    If `since` is known, there is room a minute after it.
    """

    limit: Limit
    value: int
    places: int
    since: datetime | None = None


def shortage(usage: OwnerUsage, limits: Limits, name: str, ahead: Collection[str], now: datetime) -> Shortage | None:
    """The limit that a start of this sandbox would exceed if those ahead start first; None if it may start."""
    usage.pass_minute(now)
    return (
        _sandboxes(usage, limits.sandboxes, name, ahead)
        or _running(usage, limits.running, len(ahead))
        or _starts(usage, limits.starts_per_minute, len(ahead))
    )


def _sandboxes(usage: OwnerUsage, limit: int | None, name: str, ahead: Collection[str]) -> Shortage | None:
    if limit is None or name in usage.launched:
        return None
    if len(usage.launched) + sum(other not in usage.launched for other in ahead) < limit:
        return None
    return Shortage("sandboxes", limit, places=0)


def _running(usage: OwnerUsage, limit: int | None, ahead: int) -> Shortage | None:
    if limit is None or len(usage.running) + ahead < limit:
        return None
    return Shortage("running", limit, places=limit)


def _starts(usage: OwnerUsage, limit: int | None, ahead: int) -> Shortage | None:
    if limit is None or len(usage.started) + ahead < limit:
        return None
    index = len(usage.started) + ahead - limit
    since = usage.started[index][0] if index < len(usage.started) else None
    return Shortage("startsPerMinute", limit, places=_MINUTES_TO_WAIT * limit, since=since)

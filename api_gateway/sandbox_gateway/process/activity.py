"""When clients last used each sandbox through this replica: the gateway's half of the idle clock."""

import time
from collections.abc import Callable

from sandbox_common.activity import Report, Use

_REMEMBERED = 100_000
"""Sandboxes: ten times the most of one namespace. Each costs some 200 bytes."""


class Activity:
    """Activity by runtime id. `clock` is a monotonic clock in seconds.

    It remembers at most `remembered` sandboxes. Beyond that it forgets the one that was used longest ago, and reports a
    shorter uptime.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, remembered: int = _REMEMBERED) -> None:
        self._clock = clock
        self._remembered = remembered
        self._since = clock()
        self._in_flight: dict[str, int] = {}
        self._gone: set[str] = set()
        """Sandboxes that were deleted while exchanges were in progress."""
        self._last: dict[str, float] = {}
        """When each of the others was last used; the latest is last."""

    def begin(self, runtime_id: str) -> None:
        """An exchange begins: from now until its `end` the sandbox is busy."""
        others = self._in_flight.get(runtime_id)
        if others:
            self._in_flight[runtime_id] = others + 1
        else:
            self._in_flight[runtime_id] = 1
            self._last.pop(runtime_id, None)
        if self._gone:
            self._gone.discard(runtime_id)

    def end(self, runtime_id: str) -> None:
        """An exchange is over, however it ended."""
        left = self._in_flight[runtime_id] - 1
        if left:
            self._in_flight[runtime_id] = left
            return
        del self._in_flight[runtime_id]
        if runtime_id in self._gone:
            self._gone.discard(runtime_id)
        else:
            self.touch(runtime_id)

    def touch(self, runtime_id: str) -> None:
        """The sandbox is used at this moment only: a WebSocket's handshake."""
        if runtime_id in self._in_flight:
            self._gone.discard(runtime_id)
            return
        self._last.pop(runtime_id, None)
        self._last[runtime_id] = self._clock()
        if len(self._last) > self._remembered:
            oldest = next(iter(self._last))
            self._since = self._last.pop(oldest)

    def forget(self, runtime_id: str) -> None:
        """The sandbox has been deleted."""
        self._last.pop(runtime_id, None)
        if runtime_id in self._in_flight:
            self._gone.add(runtime_id)

    def report(self, within_seconds: float | None = None) -> Report:
        """All sandboxes that are in use or were within these seconds; by default all that are remembered."""
        now = self._clock()
        used = {runtime_id: Use(count, 0.0) for runtime_id, count in self._in_flight.items()}
        for runtime_id in reversed(self._last):
            idle_seconds = now - self._last[runtime_id]
            if within_seconds is not None and idle_seconds > within_seconds:
                break
            used[runtime_id] = Use(0, idle_seconds)
        return Report(now - self._since, used)

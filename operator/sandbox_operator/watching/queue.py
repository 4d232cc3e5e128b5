"""A work queue with client-go's semantics: a key is processed once at a time, and again if it is added meanwhile.

It also has a backlog for keys without a known change, such as all keys after a take-over. They wait until no other key
is left, except that one key in a few comes from the backlog, so that none waits forever.
"""

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from sandbox_common.backoff import doubled

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 30.0

BACKLOG_SHARE = 8
"""One key in this many comes from the backlog, if there is one."""


class WorkQueue:
    """Keys to process.

    A key that is added while it waits is processed once. One that is added while it is processed comes again. Call
    `done` once after each `get`; `worked` is called with the seconds between the two. `waited` is called with the
    seconds for which a key was due before `get` returned it, except for keys of the backlog.
    """

    def __init__(
        self, worked: Callable[[float], None] = lambda _: None, waited: Callable[[float], None] = lambda _: None
    ) -> None:
        self._worked = worked
        self._waited = waited
        self._fresh: deque[tuple[str, float]] = deque()
        self._backlog: OrderedDict[str, None] = OrderedDict()
        self._dirty: set[str] = set()
        self._processing: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._timers: dict[str, tuple[float, asyncio.Handle]] = {}
        self._available = asyncio.Event()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._backlog)

    def add(self, key: str) -> None:
        """Process this key as soon as a worker is free."""
        if key in self._backlog:
            del self._backlog[key]
        elif key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_backlog(self, key: str) -> None:
        """Process this key at low priority."""
        if key in self._processing:
            self.add(key)
        elif key not in self._dirty:
            self._dirty.add(key)
            self._backlog[key] = None
            self._available.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Process this key later. If this is called several times, the earliest time counts."""
        loop = asyncio.get_running_loop()
        when = loop.time() + max(seconds, 0.0)
        if key in self._timers:
            earlier, timer = self._timers[key]
            if earlier <= when:
                return
            timer.cancel()
        # The time is stored here, because uvloop's handle of a callback that is due at once does not have it.
        self._timers[key] = when, loop.call_at(when, self._due, key)

    def retry(self, key: str, at_least: float = 0.0) -> None:
        """Process this key again after its back-off, with jitter, and after `at_least` seconds at the earliest."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(doubled(failures, _FIRST_DELAY, _LONGEST_DELAY), at_least)
        self.add_after(key, delay * random.uniform(1.0, 1.25))  # noqa: S311

    def forget(self, key: str) -> None:
        """Reset the back-off of a key that was processed without a failure."""
        self._failures.pop(key, None)

    def drop(self, key: str) -> None:
        """Forget the back-off and the timer of a key whose object is gone."""
        self.forget(key)
        if found := self._timers.pop(key, None):
            found[1].cancel()

    async def get(self) -> str:
        """Wait for the next key."""
        while not len(self):
            self._available.clear()
            await self._available.wait()
        key = self._next()
        self._processing[key] = time.monotonic()
        self._dirty.discard(key)
        return key

    def done(self, key: str) -> None:
        """Note that the worker has processed this key."""
        self._worked(time.monotonic() - self._processing.pop(key))
        if key in self._dirty:
            self._enqueue(key)

    def close(self) -> None:
        """Cancel all timers."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _next(self) -> str:
        if self._fresh and (not self._backlog or self._in_a_row < BACKLOG_SHARE - 1):
            self._in_a_row += 1
            key, since = self._fresh.popleft()
            self._waited(time.monotonic() - since)
            return key
        self._in_a_row = 0
        return self._backlog.popitem(last=False)[0]

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _enqueue(self, key: str) -> None:
        self._fresh.append((key, time.monotonic()))
        self._available.set()

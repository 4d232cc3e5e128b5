"""A work queue with client-go's semantics: a key is in work once at most, and what happens meanwhile counts.

Beside it there is a backlog: keys of which nothing is known to have happened, such as all of them after a take-over.
They wait until there is nothing newer, but for one in a few, so that none waits for ever.
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
"""Of so many keys in a row one is of the backlog, if there is any."""


class WorkQueue:
    """Keys that are to be looked at.

    A key that is added while it waits is worked on once; one that is added while it is in work comes again afterwards.
    Each `get` is answered by one `done`, and `worked` is told the seconds between the two.
    """

    def __init__(self, worked: Callable[[float], None] = lambda _: None) -> None:
        self._worked = worked
        self._fresh: deque[str] = deque()
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
        """Look at this key as soon as a worker is free."""
        if key in self._backlog:
            del self._backlog[key]
        elif key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_backlog(self, key: str) -> None:
        """Look at this key when there is time."""
        if key in self._processing:
            self.add(key)
        elif key not in self._dirty:
            self._dirty.add(key)
            self._backlog[key] = None
            self._available.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Look at this key later. Of several times asked for, the earliest counts."""
        loop = asyncio.get_running_loop()
        when = loop.time() + max(seconds, 0.0)
        if key in self._timers:
            earlier, timer = self._timers[key]
            if earlier <= when:
                return
            timer.cancel()
        # The time is kept here, since uvloop's handle of what is due at once does not know it.
        self._timers[key] = when, loop.call_at(when, self._due, key)

    def retry(self, key: str, at_least: float = 0.0) -> None:
        """Look at this key again after its backoff, with jitter, and not before `at_least` seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(doubled(failures, _FIRST_DELAY, _LONGEST_DELAY), at_least)
        self.add_after(key, delay * random.uniform(1.0, 1.25))  # noqa: S311

    def forget(self, key: str) -> None:
        """The key has been dealt with: its backoff starts anew."""
        self._failures.pop(key, None)

    def drop(self, key: str) -> None:
        """The key names nothing any more: neither its backoff nor a time to look at it is kept."""
        self.forget(key)
        if found := self._timers.pop(key, None):
            found[1].cancel()

    async def get(self) -> str:
        """The next key, as soon as there is one."""
        while not len(self):
            self._available.clear()
            await self._available.wait()
        key = self._next()
        self._processing[key] = time.monotonic()
        self._dirty.discard(key)
        return key

    def done(self, key: str) -> None:
        """The worker is through with this key."""
        self._worked(time.monotonic() - self._processing.pop(key))
        if key in self._dirty:
            self._enqueue(key)

    def close(self) -> None:
        """No key is looked at later any more."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _next(self) -> str:
        if self._fresh and (not self._backlog or self._in_a_row < BACKLOG_SHARE - 1):
            self._in_a_row += 1
            return self._fresh.popleft()
        self._in_a_row = 0
        return self._backlog.popitem(last=False)[0]

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _enqueue(self, key: str) -> None:
        self._fresh.append(key)
        self._available.set()

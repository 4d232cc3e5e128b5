"""A work queue with client-go's semantics: a key is in work once at most, and what happens meanwhile counts."""

import asyncio
import random
from collections import deque

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 30.0


def backoff(failures: int) -> float:
    """Seconds until the next attempt after so many failures (1, 2, …), without jitter: 0.05 s, doubled up to 30 s."""
    return min(_FIRST_DELAY * 2 ** min(failures - 1, 32), _LONGEST_DELAY)


class WorkQueue:
    """Keys that are to be looked at.

    A key that is added while it waits is worked on once; one that is added while it is in work comes again afterwards.
    Each `get` is answered by one `done`.
    """

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._available = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str) -> None:
        """Look at this key as soon as a worker is free."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Look at this key later. Of several times asked for, the earliest counts."""
        loop = asyncio.get_running_loop()
        when = loop.time() + max(seconds, 0.0)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def retry(self, key: str, at_least: float = 0.0) -> None:
        """Look at this key again after its backoff, with jitter, and not before `at_least` seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(backoff(failures), at_least)
        self.add_after(key, delay * random.uniform(1.0, 1.25))  # noqa: S311

    def forget(self, key: str) -> None:
        """The key has been dealt with: its backoff starts anew."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """The next key, as soon as there is one."""
        while not self._waiting:
            self._available.clear()
            await self._available.wait()
        key = self._waiting.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: str) -> None:
        """The worker is through with this key."""
        self._processing.discard(key)
        if key in self._dirty:
            self._enqueue(key)

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _enqueue(self, key: str) -> None:
        self._waiting.append(key)
        self._available.set()

"""Keeps what was parsed from some bytes, for the next time that exactly the same bytes come.

Clients that poll send the same head again and again, and get the same one back. The result depends on the bytes alone,
so it can be kept. Refused bytes are not kept.
"""

import time
from collections.abc import Callable

ENTRIES = 2048
SECONDS = 60.0


class Memo[Made]:
    """Bounded: after so many entries, or so many seconds, all of them make room. The caller bounds an entry's size.

    Most heads never come again: sandboxes end, and the time of an answer is in its head. What comes often is soon back.
    """

    def __init__(self, entries: int = ENTRIES, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries = entries
        self._clock = clock
        self._made: dict[bytes, Made] = {}
        self._until = 0.0
        self.get: Callable[[bytes], Made | None] = self._made.get
        """The result for these bytes, or None."""

    def __len__(self) -> int:
        return len(self._made)

    def put(self, data: bytes, made: Made) -> None:
        if len(self._made) >= self._entries or self._clock() >= self._until:
            self._made.clear()
            self._until = self._clock() + SECONDS
        self._made[data] = made

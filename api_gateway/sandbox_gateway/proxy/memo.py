"""Keeps what was parsed from some bytes, for the next time that exactly the same bytes come.

Clients that poll send the same head again and again, and get the same one back. The result depends on the bytes alone,
so it can be kept. Refused bytes are not kept.
"""

from collections.abc import Callable

ENTRIES = 2048


class Memo[Made]:
    """Bounded: the oldest entry makes room. The caller bounds the size of an entry."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._made: dict[bytes, Made] = {}
        self.get: Callable[[bytes], Made | None] = self._made.get
        """The result for these bytes, or None."""

    def __len__(self) -> int:
        return len(self._made)

    def put(self, data: bytes, made: Made) -> None:
        if data not in self._made and len(self._made) >= self._entries:
            del self._made[next(iter(self._made))]
        self._made[data] = made

"""What has been read from some bytes, kept for the next time that the very same bytes come.

Clients that poll send one head again and again, and get the same one back. Reading is a function of the bytes alone, so
what is kept is exact; nothing is kept of what was refused.
"""

from collections.abc import Callable

ENTRIES = 2048


class Memo[Made]:
    """Bounded: the oldest entry makes room. Whoever puts bounds the size of an entry."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries = entries
        self._made: dict[bytes, Made] = {}
        self.get: Callable[[bytes], Made | None] = self._made.get
        """What these bytes have made, or None."""

    def __len__(self) -> int:
        return len(self._made)

    def put(self, data: bytes, made: Made) -> None:
        if data not in self._made and len(self._made) >= self._entries:
            del self._made[next(iter(self._made))]
        self._made[data] = made

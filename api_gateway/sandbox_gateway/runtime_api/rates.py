"""How often each API key may call the Runtime API, and how much each owner may send, in one gateway process."""

from collections import Counter
from math import inf

WINDOW_SECONDS = 60.0


class Rates:
    """Fixed windows of a minute, the same ones for all keys. Remembers only keys that were used in the present one.

    A key is anything that has a rate: an API key, or an owner.
    """

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()
        self._ends_at = -inf

    def take(self, key: str, limit: int, now: float, amount: int = 1) -> float:
        """Count one call of this key, or this much. Returns 0, or the seconds to wait if `limit` is used up.

        `now` is in seconds of a clock that never goes back.
        """
        if now >= self._ends_at:
            self._used.clear()
            self._ends_at = now + WINDOW_SECONDS
        if self._used[key] + amount > limit:
            return self._ends_at - now
        self._used[key] += amount
        return 0.0

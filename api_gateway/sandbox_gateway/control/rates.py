"""How often each API key may call the Runtime API, in one process of the gateway."""

from collections import Counter
from math import inf

WINDOW_SECONDS = 60.0


class Rates:
    """Fixed windows of a minute, the same ones for all keys. Remembers only keys that were used in the present one."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()
        self._ends_at = -inf

    def take(self, key: str, limit: int, now: float) -> float:
        """Count one call of this key: 0, or the seconds until it has calls again, if `limit` are used up.

        `now` is in seconds of a clock that never goes back.
        """
        if now >= self._ends_at:
            self._used.clear()
            self._ends_at = now + WINDOW_SECONDS
        if self._used[key] >= limit:
            return self._ends_at - now
        self._used[key] += 1
        return 0.0

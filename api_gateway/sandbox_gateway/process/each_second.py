"""A bound on what anybody can cause."""


class EachSecond:
    """Lets something happen at most `most` times in each second of a clock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = 0
        self._asked = 0

    def has_room(self, now: float) -> bool:
        """Whether it may happen at `now`, in seconds. Each question counts."""
        second = int(now)
        if second != self._second:
            self._second, self._asked = second, 0
        self._asked += 1
        return self._asked <= self._most

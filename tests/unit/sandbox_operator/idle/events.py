"""True time of a simulated world, and what is to happen in it."""

from collections.abc import Callable
from heapq import heappop, heappush


class Events:
    """Things to come, in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._number = 0
        self._queue: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []

    def at(self, at: float, act: Callable[..., None], *arguments: object) -> None:
        """Do this at that time."""
        self._number += 1
        heappush(self._queue, (at, self._number, act, arguments))

    def advance(self, until: float) -> None:
        """Let everything happen up to this time."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, act, arguments = heappop(queue)
            act(*arguments)
        self.now = until

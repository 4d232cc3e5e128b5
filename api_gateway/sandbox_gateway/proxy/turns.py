"""The time of a process, shared by owners of sandboxes.

An event loop does in one round all that is ready, and whoever has much that is ready makes the round long for all. So
each owner gets a few turns in a round, and what is more waits for the next ones. One who has little goes on in every
round, however much another one has waiting.
"""

from collections import deque
from collections.abc import Callable

import structlog

type Go = Callable[[], None]

_log = structlog.get_logger(__name__)


class Turns:
    """`each` turns for every owner in a round. `soon` calls what it is given in the next round, as loop.call_soon."""

    __slots__ = ("_comes", "_each", "_soon", "_taken", "_waiting")

    def __init__(self, each: int, soon: Callable[[Go], object]) -> None:
        self._each = each
        self._soon = soon
        self._taken: dict[str, int] = {}
        """In this round."""
        self._waiting: dict[str, deque[Go]] = {}
        self._comes = False
        """Whether the next round will be noticed."""

    def take(self, owner: str) -> bool:
        """Have a turn now; False if this owner has had its own in this round, or if others of its things wait."""
        taken = self._taken.get(owner, 0)
        if taken >= self._each or owner in self._waiting:
            return False
        self._taken[owner] = taken + 1
        self._notice()
        return True

    def wait(self, owner: str, go: Go) -> None:
        """Have a turn when it comes: `go` is called then."""
        if owner in self._waiting:
            self._waiting[owner].append(go)
        else:
            self._waiting[owner] = deque((go,))
        self._notice()

    def _notice(self) -> None:
        if not self._comes:
            self._comes = True
            self._soon(self._next_round)

    def _next_round(self) -> None:
        self._comes = False
        self._taken.clear()
        going: list[Go] = []
        for owner, waiting in list(self._waiting.items()):
            turns = min(self._each, len(waiting))
            going += [waiting.popleft() for _ in range(turns)]
            self._taken[owner] = turns
            if not waiting:
                del self._waiting[owner]
        if going:
            self._notice()
        for go in going:
            try:
                go()
            except Exception:
                # The others' turns have been taken already.
                _log.exception("what waited for its turn went wrong")

"""The time of a process, shared by the owners of sandboxes.

An event loop does everything that is ready in one round, so an owner with much to do makes the round long for all. So
each owner gets a few turns in a round, and the rest waits for the next rounds. An owner with little to do proceeds in
every round, however much another owner has waiting.
"""

from collections import deque
from collections.abc import Callable

import structlog

type Go = Callable[[], None]

_log = structlog.get_logger(__name__)


class Turns:
    """`each` turns for every owner in a round. `soon` calls its argument in the next round, like loop.call_soon."""

    __slots__ = ("_comes", "_each", "_soon", "_taken", "_waiting")

    def __init__(self, each: int, soon: Callable[[Go], object]) -> None:
        self._each = each
        self._soon = soon
        self._taken: dict[str, int] = {}
        """Turns taken in this round."""
        self._waiting: dict[str, deque[Go]] = {}
        self._comes = False
        """Whether the next round is scheduled."""

    def take(self, owner: str) -> bool:
        """Take a turn now; False if this owner has none left in this round, or has something waiting."""
        taken = self._taken.get(owner, 0)
        if taken >= self._each or owner in self._waiting:
            return False
        self._taken[owner] = taken + 1
        self._notice()
        return True

    def wait(self, owner: str, go: Go) -> None:
        """Call `go` at a later turn of this owner."""
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
                # The others have their turns nevertheless.
                _log.exception("what waited for its turn went wrong")

"""How much of this process each sandbox may take, so that none starves the others."""


class Shares:
    """Something of which each sandbox may have `limit` at a time, by runtime id."""

    __slots__ = ("_taken", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: dict[str, int] = {}

    def left(self, runtime_id: str) -> bool:
        """Whether this sandbox may take another one."""
        return self._taken.get(runtime_id, 0) < self.limit

    def take(self, runtime_id: str) -> None:
        """One more; whether it may is for the caller to ask."""
        self._taken[runtime_id] = self._taken.get(runtime_id, 0) + 1

    def give_back(self, runtime_id: str) -> None:
        """One that was taken."""
        left = self._taken[runtime_id] - 1
        if left:
            self._taken[runtime_id] = left
        else:
            del self._taken[runtime_id]

    @property
    def none_taken(self) -> bool:
        return not self._taken

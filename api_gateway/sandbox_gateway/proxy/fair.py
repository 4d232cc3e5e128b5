"""Something of which a process has only so much, shared by owners of sandboxes.

An owner may have up to three times of what stays free. One alone gets three quarters of all, two get three sevenths
each: however greedy they are, there is room for the next one. And each may have a little, whatever the others have, as
long as there is any.
"""

SHARE = 3
LITTLE = 64
"""The part of all that each owner may have whatever the others have is one of so many; at least 1."""


class Fair:
    """`total` of it, by owner."""

    __slots__ = ("_all", "_little", "_taken", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self._little = max(1, total // LITTLE)
        self._all = 0
        self._taken: dict[str, int] = {}

    def left(self, owner: str, amount: int = 1) -> bool:
        """Whether this owner may take so much more."""
        free = self.total - self._all - amount
        has = self._taken.get(owner, 0) + amount
        return free >= 0 and (has <= SHARE * free or has <= self._little)

    def of(self, owner: str) -> int:
        """What this owner has."""
        return self._taken.get(owner, 0)

    def take(self, owner: str, amount: int = 1) -> None:
        """So much more; whether it may is for the caller to ask."""
        self._all += amount
        self._taken[owner] = self._taken.get(owner, 0) + amount

    def give_back(self, owner: str, amount: int = 1) -> None:
        """Some of what was taken."""
        self._all -= amount
        left = self._taken.pop(owner, 0) - amount
        if left:
            self._taken[owner] = left

    @property
    def none_taken(self) -> bool:
        return not self._taken

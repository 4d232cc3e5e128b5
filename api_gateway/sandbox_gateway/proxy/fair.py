"""A limited amount of something, shared by the owners of sandboxes.

An owner may have up to three times what is still free. One owner alone gets three quarters, two get three sevenths
each. So there is always room for the next owner, however greedy the others are. Each owner may also have a small part
whatever the others have, while anything is free.
"""

SHARE = 3
LITTLE = 64
"""Each owner may have one part in this many (at least 1) whatever the others have."""


class Fair:
    """What each owner has of `total`."""

    __slots__ = ("_all", "_little", "_taken", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self._little = max(1, total // LITTLE)
        self._all = 0
        self._taken: dict[str, int] = {}

    def left(self, owner: str, amount: int = 1) -> bool:
        """Whether this owner may take this much more."""
        free = self.total - self._all - amount
        has = self._taken.get(owner, 0) + amount
        return free >= 0 and (has <= SHARE * free or has <= self._little)

    def of(self, owner: str) -> int:
        """What this owner has."""
        return self._taken.get(owner, 0)

    def take(self, owner: str, amount: int = 1) -> None:
        """Take this much more. The caller has asked whether the owner may."""
        self._all += amount
        self._taken[owner] = self._taken.get(owner, 0) + amount

    def give_back(self, owner: str, amount: int = 1) -> None:
        """Give back some of it."""
        self._all -= amount
        left = self._taken.pop(owner, 0) - amount
        if left:
            self._taken[owner] = left

    @property
    def none_taken(self) -> bool:
        return not self._taken

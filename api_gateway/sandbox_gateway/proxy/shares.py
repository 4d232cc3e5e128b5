"""How much of this process each sandbox and each owner may use, so that none starves the others."""

from sandbox_gateway.proxy.fair import Fair


class Shares:
    """Each sandbox, by runtime id, may have `limit` at a time. `owners` shares the sum among the owners."""

    __slots__ = ("_owners", "_taken", "limit")

    def __init__(self, limit: int, owners: Fair) -> None:
        self.limit = limit
        self._owners = owners
        self._taken: dict[str, int] = {}

    def left(self, runtime_id: str) -> bool:
        """Whether this sandbox may take another one. Its owner's share is asked for separately."""
        return self._taken.get(runtime_id, 0) < self.limit

    def take(self, runtime_id: str, owner: str) -> None:
        """Take one more. The caller has asked whether the sandbox and its owner may."""
        self._owners.take(owner)
        self._taken[runtime_id] = self._taken.get(runtime_id, 0) + 1

    def give_back(self, runtime_id: str, owner: str) -> None:
        """Give back one."""
        self._owners.give_back(owner)
        left = self._taken[runtime_id] - 1
        if left:
            self._taken[runtime_id] = left
        else:
            del self._taken[runtime_id]

    @property
    def none_taken(self) -> bool:
        return not self._taken

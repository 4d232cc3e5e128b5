"""How many requests may wait for sandboxes to wake, and how many of their bytes are kept meanwhile."""

from collections import Counter

from sandbox_gateway.proxy.fair import Fair

PER_SANDBOX = 256
IN_ALL = 2048
BYTES = 64 * 1024 * 1024


class Places:
    """The places of one gateway replica. Owners share them, and the bytes."""

    def __init__(self, per_sandbox: int = PER_SANDBOX, in_all: int = IN_ALL, max_bytes: int = BYTES) -> None:
        self._per_sandbox = per_sandbox
        self._taken: Counter[str] = Counter()
        self._places = Fair(in_all)
        self._bytes = Fair(max_bytes)

    @property
    def free(self) -> bool:
        """Whether no request waits."""
        return not self._taken and self._places.none_taken and self._bytes.none_taken

    def take(self, owner: str, runtime_id: str, size: int) -> bool:
        """Take a place for a request with `size` received bytes; False when there is none for this owner."""
        if self._taken[runtime_id] >= self._per_sandbox or not self._places.left(owner) or not self.grow(owner, size):
            return False
        self._taken[runtime_id] += 1
        self._places.take(owner)
        return True

    def grow(self, owner: str, size: int) -> bool:
        """Keep this many more bytes; False when they are too many for this owner."""
        if not self._bytes.left(owner, size):
            return False
        self._bytes.take(owner, size)
        return True

    def leave(self, owner: str, runtime_id: str, size: int) -> None:
        """Give back a place, with all the bytes of its request."""
        self._bytes.give_back(owner, size)
        self._places.give_back(owner)
        self._taken[runtime_id] -= 1
        if not self._taken[runtime_id]:
            del self._taken[runtime_id]

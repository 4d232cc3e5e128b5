"""How many requests may wait for sandboxes to wake, and how many bytes of them are kept meanwhile."""

from collections import Counter

PER_SANDBOX = 256
IN_ALL = 2048
BYTES = 64 * 1024 * 1024


class Places:
    """The places of one gateway replica."""

    def __init__(self, per_sandbox: int = PER_SANDBOX, in_all: int = IN_ALL, max_bytes: int = BYTES) -> None:
        self._per_sandbox = per_sandbox
        self._in_all = in_all
        self._max_bytes = max_bytes
        self._taken: Counter[str] = Counter()
        self._bytes = 0

    @property
    def free(self) -> bool:
        """Whether nobody waits."""
        return not self._taken and not self._bytes

    def take(self, runtime_id: str, size: int) -> bool:
        """Take a place for a request of which `size` bytes have come; False when there is none."""
        if self._taken[runtime_id] >= self._per_sandbox or self._taken.total() >= self._in_all or not self.grow(size):
            return False
        self._taken[runtime_id] += 1
        return True

    def grow(self, size: int) -> bool:
        """Keep so many more bytes; False when they are too many."""
        if self._bytes + size > self._max_bytes:
            return False
        self._bytes += size
        return True

    def leave(self, runtime_id: str, size: int) -> None:
        """Give back a place, with all the bytes of its request."""
        self._bytes -= size
        self._taken[runtime_id] -= 1
        if not self._taken[runtime_id]:
            del self._taken[runtime_id]

"""How the sandboxes that exist have started first: by a warm pod, or why not."""

from collections import Counter
from dataclasses import dataclass, field

from sandbox_crds.models import Sandbox

_MOST_DETAILS = 10


@dataclass(slots=True)
class PoolStarts:
    """Hits by pool, and misses by reason."""

    hits: Counter[str] = field(default_factory=Counter[str])
    misses: Counter[str] = field(default_factory=Counter[str])
    _details: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])

    def add(self, sandbox: Sandbox) -> None:
        """Count the first start of this sandbox."""
        status = sandbox.status
        if status.launch == "Warm":
            self.hits[status.pool] += 1
        elif status.pool_miss:  # it stays when the sandbox is resumed
            reason, _, detail = status.pool_miss.partition(": ")
            self.misses[reason] += 1
            details = self._details.setdefault(reason, {})
            if detail and len(details) < _MOST_DETAILS:
                details[detail] = None

    def details(self, reason: str) -> list[str]:
        """Up to ten different examples of what differed, the first one first."""
        return list(self._details.get(reason, ()))

    def most_common(self) -> list[tuple[str, int]]:
        """Misses, the most frequent reason first."""
        return sorted(self.misses.items(), key=lambda entry: (-entry[1], entry[0]))

"""Decides how many free pods a pool keeps, from recent demand. Pure; times are seconds of one monotonic clock.

A claimed pod is replaced at once, and its replacement is ready one lead time later. So a start finds a free pod if
fewer starts than the pool's size came within one lead time before it. The size that a start needed is the number of
starts within that lead time, including itself. The pool keeps the smallest size that was enough for the target share of
recent starts. In inventory theory this is the base-stock level for a ready rate, with the observed demand instead of
an assumed distribution. Misses count as if they had claimed a pod, so the size is rather too large.

The size grows at once. It shrinks step by step, after a smaller size has been enough for a while, so it does not flap.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from sandbox_crds.models.sandbox_pool import MOST_PODS, Autoscaling

WINDOW = 7200.0
"""Seconds for which a start counts as recent."""

SLICE = 60.0
"""Seconds of the slices in which starts are forgotten."""

PATIENCE = 600.0
"""Seconds for which a smaller size must have been enough before the size shrinks by one step."""

LARGEST_STEP = 4
"""A step removes one pod in this many, and at least one pod."""

FIRST_LEAD_TIME = 15.0
"""Assumed seconds from a pod's creation until it is ready, until a real value is known."""

LEAD_TIMES = 32
"""How many of the last lead times are kept. Their upper quartile is used."""


@dataclass(frozen=True, slots=True)
class _Slice:
    end: float
    needed: Counter[int] = field(default_factory=Counter[int])


class Demand:
    """The sizes that recent starts needed, and how long a pod takes to become ready. Uses bounded memory."""

    def __init__(self) -> None:
        self.lead_time = FIRST_LEAD_TIME
        """Seconds from a pod's creation until it is ready."""
        self._lead_times: deque[float] = deque(maxlen=LEAD_TIMES)
        self._starts: deque[float] = deque(maxlen=MOST_PODS + 1)
        self._slices: deque[_Slice] = deque()
        self._needed: Counter[int] = Counter()

    def started(self, now: float) -> None:
        """Note a start that fits the pool."""
        starts = self._starts
        while starts and starts[0] <= now - self.lead_time:
            starts.popleft()
        starts.append(now)
        if not self._slices or now >= self._slices[-1].end:
            self._slices.append(_Slice(now + SLICE))
        self._slices[-1].needed[len(starts)] += 1
        self._needed[len(starts)] += 1

    def ready(self, seconds: float) -> None:
        """Note that a pod became ready this many seconds after its creation."""
        self._lead_times.append(seconds)
        self.lead_time = sorted(self._lead_times)[len(self._lead_times) * 3 // 4]

    def forget(self, now: float) -> None:
        """Forget starts that are no longer recent."""
        while self._slices and self._slices[0].end + WINDOW <= now:
            self._needed -= self._slices.popleft().needed

    def size_for(self, percentage: int) -> int:
        """The smallest size that was enough for this percentage of the recent starts; 0 if there were none."""
        missing = self._needed.total() * (100 - percentage) // 100
        for size in sorted(self._needed, reverse=True):
            missing -= self._needed[size]
            if missing < 0:
                return size
        return 0


class Sizer:
    """The size of one pool.

    `size` is the initial size: from the status, or for a new pool from the spec.
    """

    def __init__(self, limits: Autoscaling, size: int) -> None:
        self._limits = limits
        self._size = size
        self._demand = Demand()
        self._less_since: float | None = None
        self._enough = 0

    def limit(self, limits: Autoscaling) -> None:
        """Use these limits from now on, and keep what is known about the demand."""
        self._limits = limits

    def started(self, now: float) -> None:
        """Note a start that claimed a pod of this pool, or found the pool empty."""
        self._demand.started(now)

    def ready(self, seconds: float) -> None:
        """Note that a pod became ready this many seconds after its creation."""
        self._demand.ready(seconds)

    def size(self, now: float) -> int:
        """Number of free pods to keep, within the limits. Call it often: a call is cheap."""
        limits = self._limits
        self._demand.forget(now)
        self._size = self._within(self._size)
        needed = self._within(self._demand.size_for(limits.target_hit_rate))
        if needed >= self._size:
            self._size, self._less_since = needed, None
        elif self._less_since is None:
            self._less_since, self._enough = now, needed
        else:
            self._enough = max(self._enough, needed)
            if now >= self._less_since + PATIENCE:
                self._size = max(self._enough, self._size - max(1, self._size // LARGEST_STEP))
                self._less_since, self._enough = now, needed
        return self._size

    def look_again(self, now: float) -> float | None:
        """When the size may shrink without further events; None if it cannot."""
        if self._size <= self._limits.min_replicas:
            return None
        return (now if self._less_since is None else self._less_since) + PATIENCE

    def _within(self, size: int) -> int:
        return min(max(size, self._limits.min_replicas), self._limits.max_replicas)

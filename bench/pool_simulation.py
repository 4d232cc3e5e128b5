"""A pool's life on a made-up trace of starts, with the operator's own sizing or a fixed size: no clock, no cluster."""

import math
import random
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

DAY = 86_400.0
LEAD_TIME = 10.0
"""Median seconds from a pod's creation until it is ready. One in a hundred takes less than 5, or more than 18."""


class Policy(Protocol):
    """What decides the size: `sandbox_operator.pools.sizing.Sizer`, or `Fixed`."""

    def started(self, now: float) -> None: ...
    def ready(self, seconds: float) -> None: ...
    def size(self, now: float) -> int: ...
    def look_again(self, now: float) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same size all the time."""

    replicas: int

    def started(self, now: float) -> None:
        """Nothing follows from demand."""

    def ready(self, seconds: float) -> None:
        """Nothing follows from lead times."""

    def size(self, now: float) -> int:
        """The size."""
        return self.replicas

    def look_again(self, now: float) -> None:
        """It never changes."""


@dataclass(slots=True)
class Outcome:
    """`sizes` are (seconds, free pods wanted) at each change; pod-hours are those of free pods, ready or not."""

    starts: int
    hits: int = 0
    pod_hours: float = 0.0
    sizes: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    @property
    def hit_rate(self) -> float:
        """Percentage of the starts that found a ready pod."""
        return 100 * self.hits / self.starts


def working_days(seed: int, days: int) -> list[float]:
    """Times of starts in seconds: quiet nights, a swell from 8 to 19 o'clock, and in it bursts of 18 to 36 in 10 s.

    By day there are up to three single starts a minute, and about one burst in half an hour, at random times.
    """
    rng = random.Random(seed)
    night, noon, starts, now = 2 / 3600, 3 / 60, list[float](), 0.0
    while (now := now + rng.expovariate(night + noon)) < days * DAY:
        if rng.random() * (night + noon) < night + noon * _swell(now):
            starts.append(now)
    now = 0.0
    while (now := now + rng.expovariate(1 / 1800)) < days * DAY:
        if rng.random() < math.sqrt(_swell(now)):
            starts += [now + rng.uniform(0, 10) for _ in range(rng.randint(18, 36))]
    return sorted(starts)


def simulate(starts: Sequence[float], policy: Policy, end: float, seed: int = 0) -> Outcome:
    """What comes of these starts until `end`, in seconds. Each start takes a ready pod, if there is one, for good."""
    rng, outcome = random.Random(seed), Outcome(len(starts))
    ready, starting, now, upcoming = 0, list[tuple[float, float]](), 0.0, iter([*starts, math.inf])
    start = next(upcoming)
    while True:
        size = policy.size(now)
        if not outcome.sizes or outcome.sizes[-1][1] != size:
            outcome.sizes.append((now, size))
        while ready + len(starting) < size:
            lead_time = rng.lognormvariate(math.log(LEAD_TIME), 0.25)
            insort(starting, (now + lead_time, lead_time))
        surplus = ready + len(starting) - size
        del starting[max(0, len(starting) - surplus) :]
        ready = min(ready, size)
        look = policy.look_again(now)
        before, now = now, min(start, end, starting[0][0] if starting else end, end if look is None else look)
        outcome.pod_hours += (ready + len(starting)) * (now - before) / 3600
        if now >= end:
            return outcome
        while starting and starting[0][0] <= now:
            policy.ready(starting.pop(0)[1])
            ready += 1
        if start <= now:
            policy.started(now)
            outcome.hits += ready > 0
            ready = max(0, ready - 1)
            start = next(upcoming)


def _swell(now: float) -> float:
    """How busy that time of the day is, from 0 to 1."""
    hour = now % DAY / 3600
    return math.sin((hour - 8) / 11 * math.pi) if 8 <= hour <= 19 else 0.0

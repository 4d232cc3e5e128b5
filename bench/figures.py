"""Arithmetic of measurements: pure functions."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOTHING = math.nan
"""The result for no values."""


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that `share` of all values (0 to 1) do not exceed: the nearest-rank method. NaN for no values."""
    if not values:
        return NOTHING
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles in the unit of the values, and the greatest one."""

    p50: float
    p90: float
    p99: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Of these values; all NaN for none."""
    return Spread(*(percentile(values, share) for share in (0.5, 0.9, 0.99, 1)))


def ratios(values: Sequence[float], ceilings: Sequence[float]) -> list[float]:
    """Pair by pair, since the machine's speed drifts."""
    return [value / ceiling for value, ceiling in zip(values, ceilings, strict=True)]


def median(values: Sequence[float]) -> float:
    """NaN for no values."""
    return statistics.median(values) if values else NOTHING


def rate(moments: Sequence[float]) -> float:
    """How many a second, from 0 to the last of these moments in seconds."""
    return len(moments) / max(moments) if moments else 0.0


def each(seconds: Mapping[str, float], count: int) -> dict[str, float]:
    """Milliseconds for each of `count`, from seconds for all of them."""
    return {name: 1000 * value / count for name, value in seconds.items()} if count else {}


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """By name. New names count from zero; names that are gone are omitted."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}

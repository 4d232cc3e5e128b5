"""How long to wait after failures."""

import random
from datetime import timedelta


def doubled[T: (float, timedelta)](failures: int, first: T, longest: T) -> T:
    """The pause after this many failures in a row (1, 2, …): `first`, doubled each time up to `longest`."""
    return min(first * 2 ** min(failures - 1, 32), longest)


def backoff(failures: int, first: float, longest: float) -> float:
    """The same in seconds, shortened at random, so that processes do not all retry at the same time."""
    return doubled(failures, first, longest) * random.uniform(0.5, 1.0)  # noqa: S311

"""What `make test` runs a part of, and `make test-long` (TEST_WHOLE=1) runs whole.

The part is drawn by TEST_SEED, a new one for each run, which is printed. TEST_SEED=N runs the same part again.
"""

import os
import random
from collections.abc import Callable, Sequence

WHOLE = os.environ.get("TEST_WHOLE") == "1"


def seed() -> int:
    """Of this run, in all its processes."""
    return int(os.environ["TEST_SEED"])


def count(part: int, whole: int) -> int:
    """How many of something to run."""
    return whole if WHOLE else part


def drawn[T](cases: Sequence[T], part: int, always: Callable[[T], bool] = lambda _: False) -> list[T]:
    """The cases that run always, and of the others so many, in their order."""
    others = [index for index, case in enumerate(cases) if not always(case)]
    chosen = set(others if WHOLE else random.Random(seed()).sample(others, min(part, len(others))))
    return [case for index, case in enumerate(cases) if always(case) or index in chosen]

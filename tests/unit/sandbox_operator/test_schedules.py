"""Whatever fails, dies and lags in a short life of sandboxes: in the end all is as it is wanted, and nothing was lost.

`.venv/bin/python -m schedules SEED` plays one schedule again, and tells what happened.
"""

import random
import subprocess
import sys

import pytest

import sampling

_AT_ONCE = 500
_DRAW = random.Random(sampling.seed())
_SEEDS = [_DRAW.randrange(2**32) for _ in range(sampling.count(40, 10_000))]


@pytest.mark.parametrize("first", range(0, len(_SEEDS), _AT_ONCE))
def test_drawn_schedules(first: int) -> None:
    seeds = map(str, _SEEDS[first : first + _AT_ONCE])
    # In a process of its own, since time is virtual there.
    command = [sys.executable, "-m", "schedules", *seeds]
    played = subprocess.run(command, capture_output=True, text=True, check=False)
    assert played.returncode == 0, f"{played.stdout}\n{played.stderr}"

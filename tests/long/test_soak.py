"""Ten minutes of the soak that `python -m bench.soak` runs for hours."""

import random

import uvloop

import sampling
from bench.soak.run import soak
from local_cluster.progress import Progress


def test_nothing_is_left_after_ten_minutes_of_lives_and_troubles(progress: Progress) -> None:
    # With troubles more often than every 45 s, no sandbox is seen to be idle for so long.
    course, wrong = uvloop.run(soak(10, 20, 45, random.Random(sampling.seed()), progress))
    assert wrong == []
    assert course.lives.total() > 100

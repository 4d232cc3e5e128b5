"""Pauses after failures."""

from datetime import timedelta

from sandbox_common.backoff import backoff, doubled


def test_pauses_grow_to_their_limit() -> None:
    steps = [doubled(failures, 0.05, 30.0) for failures in range(1, 2000)]
    assert steps == sorted(steps)
    assert (steps[0], steps[1], steps[-1]) == (0.05, 0.1, 30.0)
    assert doubled(3, timedelta(seconds=10), timedelta(minutes=5)) == timedelta(seconds=40)


def test_pauses_differ_by_chance() -> None:
    pauses = {backoff(1, 0.2, 1.0) for _ in range(20)}
    assert len(pauses) > 1
    assert 0.1 <= min(pauses) <= max(pauses) <= 0.2

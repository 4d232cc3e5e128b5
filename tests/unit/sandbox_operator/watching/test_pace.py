"""What may wait takes its turn."""

import pytest

from sandbox_operator.watching.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def took(pace: Pace, clock: Clock, seconds: float) -> bool:
    with pace.turn() as is_mine:
        clock.now += seconds
        return is_mine


def refused(pace: Pace, clock: Clock) -> None:
    with pace.turn():
        clock.now += 1
        raise OSError("refused")


def test_one_at_a_time(clock: Clock) -> None:
    pace = Pace(0.1, clock)
    with pace.turn() as first:
        assert first
        assert not took(pace, clock, 0)
    assert took(pace, clock, 0)


def test_a_pause_follows_that_is_as_long_as_the_turn_was_slow(clock: Clock) -> None:
    pace = Pace(0.1, clock)
    assert took(pace, clock, 2)
    clock.now += 17.9
    assert not took(pace, clock, 0)
    clock.now += 0.2
    assert took(pace, clock, 0)


def test_a_refused_turn_takes_no_time_from_others(clock: Clock) -> None:
    pace = Pace(0.5, clock)
    assert took(pace, clock, 1)
    assert not took(pace, clock, 1)
    assert took(pace, clock, 0)


def test_a_turn_that_fails_ends(clock: Clock) -> None:
    pace = Pace(0.5, clock)
    with pytest.raises(OSError, match="refused"):
        refused(pace, clock)
    assert not took(pace, clock, 0)
    clock.now += 1
    assert took(pace, clock, 0)

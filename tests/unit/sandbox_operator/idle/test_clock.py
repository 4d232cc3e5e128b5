"""One agent server's clock, told by its answers."""

import math

import pytest

from sandbox_operator.idle.clock import AgentAnswer, IdleClock

DAY = 86400.0


def answer(at: float, uptime: float, idle_time: float, running: int = 0, age: float | None = None) -> AgentAnswer:
    return AgentAnswer(at, uptime, idle_time, running, age)


def after(*answers: AgentAnswer, ready_at: float = -math.inf) -> float:
    """When the last use was, after these answers."""
    clock = IdleClock(ready_at)
    for each in answers:
        clock.answered(each)
    return clock.active_at


FIRST = answer(1000, uptime=500, idle_time=300, age=510)


@pytest.mark.parametrize(
    ("first", "active_at"),
    [
        pytest.param(FIRST, 700, id="clocks agree"),
        pytest.param(answer(1000, 500, 300, running=1, age=510), 1000, id="a conversation runs"),
        pytest.param(answer(1000, 500, 300, age=None), 1000, id="nothing to compare with"),
        pytest.param(answer(1000, 500, 300, age=561), 1000, id="one clock was moved, who knows which"),
        pytest.param(answer(1000, 500, 300, age=560), 700, id="a slow boot"),
        pytest.param(answer(1000, 500 + DAY, 300 + DAY, age=510), 1000, id="the node's clock was moved forwards"),
        pytest.param(answer(1000, 500 - DAY, -DAY, age=510), 1000, id="the node's clock was moved back"),
        pytest.param(answer(1000, 500, 300, age=-DAY), 1000, id="the operator's clock was moved back"),
        pytest.param(answer(1000, 500, 300, age=497), 1000, id="moved forwards a little"),
        pytest.param(answer(1000, 500, 300, age=498), 700, id="whole seconds"),
    ],
)
def test_the_first_answer(first: AgentAnswer, active_at: float) -> None:
    assert after(first) == active_at


def test_readiness_counts_as_a_use() -> None:
    assert after(answer(1010, uptime=15, idle_time=15, age=20), ready_at=1000) == 1000


@pytest.mark.parametrize(
    ("second", "active_at"),
    [
        pytest.param(answer(1100, 600, 400), 700, id="no use"),
        pytest.param(answer(1100, 600, 30), 1070, id="a use"),
        pytest.param(answer(1100, 601, 401), 700, id="whole seconds"),
        pytest.param(answer(1100, 600, 400, running=2), 1100, id="silent, but at work"),
        pytest.param(answer(1100, 600 + DAY, 400 + DAY), 701, id="moved forwards, no use"),
        pytest.param(answer(1100, 600 + DAY, 30), 1100, id="moved forwards, then a use"),
        pytest.param(answer(1100, 600 + DAY, 30 + DAY), 1071, id="a use, then moved forwards"),
        pytest.param(answer(1100, 600 - DAY, 30), 1070, id="moved back, then a use"),
        pytest.param(answer(1100, 600 - DAY, 30 - DAY), 1100, id="a use, then moved back"),
        pytest.param(answer(1100, 20, 20), 1080, id="another process, which nobody has told of"),
    ],
)
def test_the_second_answer(second: AgentAnswer, active_at: float) -> None:
    assert after(FIRST, second) == active_at


def test_a_clock_that_was_moved_back_keeps_nothing_alive() -> None:
    # At 1100 the use at 700 lies 500 s in the node's future.
    moved = answer(1100, uptime=600 - 900, idle_time=400 - 900)
    assert after(FIRST, moved) == 1100
    later = answer(1300, uptime=800 - 900, idle_time=600 - 900)
    assert after(FIRST, moved, later) == 1100


def test_a_reading_that_the_clock_has_passed_again_proves_nothing() -> None:
    # The second use falls on the very reading of the first, which the clock shows for the second time.
    moved = answer(1100, uptime=300, idle_time=-200)
    again = answer(1400, uptime=600, idle_time=100)
    assert after(FIRST, moved, again) == 1300


def test_answers_are_compared_with_the_last_one() -> None:
    moved = answer(1100, 600 + DAY, 400 + DAY)
    used = answer(1200, 700 + DAY, 20)
    assert after(FIRST, moved, used) == 1180


def test_it_knows_whether_it_has_been_answered() -> None:
    clock = IdleClock()
    assert not clock.has_answered
    clock.answered(FIRST)
    assert clock.has_answered

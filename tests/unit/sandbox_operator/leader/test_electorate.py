"""Never two leaders, whatever happens to requests, clocks and processes; and soon one again afterwards."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_operator.leader.election import Timing
from unit.sandbox_operator.leader.electorate import TICK, Candidate, Dice, Server

TIMINGS = [Timing(duration=8, renew=2, deadline=5), Timing(duration=2, renew=0.5, deadline=1.25)]
SLOWEST, FASTEST = 0.9, 1.1
"""Rates of clocks: far more apart than those of any machine."""


def play(seed: int, timing: Timing, trouble: float, number: int, seconds: float) -> tuple[list[Candidate], int]:
    """Run an election with all its mishaps; gives the candidates and how many terms there were."""
    draw = random.Random(seed)
    server = Server(Dice(draw, trouble))
    candidates = [Candidate(f"c{n}", server, timing, draw.uniform(SLOWEST, FASTEST)) for n in range(number)]
    terms, leader = 0, None
    for tick in range(int(seconds / TICK)):
        server.run_until(tick * TICK)
        for candidate in candidates:
            if draw.random() < trouble / 500:
                candidate.stopped_until = server.now + draw.choice([0.5, 3.0, 10.0, 30.0]) * draw.random()
            if draw.random() < trouble / 4000 and len(candidates) > 1 and candidate.may_write:
                candidate.release()
                candidates[candidates.index(candidate)] = Candidate(f"{candidate.name}+", server, timing, 1.0)
            candidate.tick()
        leaders = [candidate.name for candidate in candidates if candidate.may_write]
        assert len(leaders) <= 1, f"at {server.now}: {leaders}"
        if leaders and leaders[0] != leader:
            terms += 1
            leader = leaders[0]
    return candidates, terms


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    timing=st.sampled_from(TIMINGS),
    trouble=st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    number=st.integers(2, 4),
)
def test_there_are_never_two_leaders(seed: int, timing: Timing, trouble: float, number: int) -> None:
    play(seed, timing, trouble, number, seconds=60)


@pytest.mark.parametrize("timing", TIMINGS)
def test_mishaps_change_the_leader_again_and_again(timing: Timing) -> None:
    """Otherwise the test above would try nothing."""
    terms = sum(play(seed, timing, 0.4, 3, seconds=60)[1] for seed in range(10))
    assert terms > 15


@pytest.mark.parametrize("timing", TIMINGS)
def test_without_mishaps_the_first_leader_stays(timing: Timing) -> None:
    candidates, terms = play(1, timing, 0.0, 3, seconds=60)
    assert terms == 1
    assert sum(candidate.may_write for candidate in candidates) == 1


def test_a_lease_without_a_margin_lets_two_lead() -> None:
    """The game can be lost: this is what the margin between deadline and duration is for."""
    lost = 0
    for seed in range(40):
        try:
            play(seed, Timing(duration=5, renew=2, deadline=6), 0.4, 3, seconds=60)
        except AssertionError:
            lost += 1
    assert lost > 5

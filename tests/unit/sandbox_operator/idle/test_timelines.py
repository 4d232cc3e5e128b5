"""No busy sandbox is suspended, and no idle one kept: random timelines, a million in all, and others that shrink."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling
from unit.sandbox_operator.idle.simulation import Simulation
from unit.sandbox_operator.idle.timelines import Plan, Replacement, Tally, World
from unit.sandbox_operator.idle.worlds import PLANS, run_random_worlds

TIMELINES = sampling.count(20_000, 1_000_000)
BATCH = 250


def test_random_timelines() -> None:
    # Worlds of two runs overlap only if their seeds are nearly the same.
    batches = range(sampling.seed() * TIMELINES, sampling.seed() * TIMELINES + TIMELINES // PLANS, BATCH)
    total = Tally()
    # A fork of this process, which has threads, may hang.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("forkserver")) as pool:
        for tally in pool.map(run_random_worlds, batches, [BATCH] * len(batches)):
            total.add(tally)
    print(total)
    assert total.timelines == TIMELINES
    # Nearly all come to rest, so that their suspension is tried, and the tolerances are what they are called: rare.
    # A part of the million may have none of the rarest.
    assert total.suspended > 0.99 * TIMELINES
    assert 0 < total.lost_by_kill < 0.005 * TIMELINES
    assert sampling.WHOLE <= total.hidden_by_move < 0.001 * TIMELINES


@pytest.mark.parametrize("world", [40138878650115, 185379176600869])
def test_worlds_that_were_judged_wrongly_once(world: int) -> None:
    run_random_worlds(world, 1)


def _times(longest: float) -> st.SearchStrategy[float]:
    return st.floats(0, longest, allow_nan=False).map(lambda seconds: round(seconds, 2))


_PICKS = st.integers(0, 5)


@st.composite
def _spans(draw: st.DrawFn) -> tuple[float, float]:
    start = draw(_times(250))
    return start, start + draw(_times(120)) + 0.01


@st.composite
def _plans(draw: st.DrawFn) -> Plan:
    conversations = [
        (start, end, sorted(draw(st.lists(st.floats(start, end), max_size=2))))
        for start, end in draw(st.lists(_spans(), max_size=2))
    ]
    return Plan(
        timeout=draw(st.sampled_from([15, 20, 60, 100])),
        boot=draw(st.floats(0.5, 20)),
        started_at=draw(st.one_of(st.floats(-1000, -30), _times(50))),
        requests=sorted((*span, draw(_PICKS)) for span in draw(st.lists(_spans(), max_size=3))),
        handshakes=[(at, draw(_PICKS)) for at in draw(st.lists(_times(300), max_size=2))],
        conversations=conversations,
        commands=draw(st.lists(_times(300), max_size=3)),
        restarts=draw(st.lists(_times(200), max_size=1)),
    )


@st.composite
def _worlds(draw: st.DrawFn) -> World:
    sign = draw(st.sampled_from([-1, 1]))
    node_moves = draw(st.lists(st.tuples(_times(300), st.floats(5, 7200)), max_size=2))
    operator_moves = draw(st.lists(st.tuples(_times(300), st.floats(-7200, 7200)), max_size=2))
    absences = [(at, at + draw(_times(60)) + 0.5) for at in draw(st.lists(_times(250), max_size=1))]
    replacement = st.builds(Replacement, _times(300), _PICKS, st.booleans(), st.booleans(), _times(60), _times(25))
    silences = [(*span, draw(_PICKS)) for span in draw(st.lists(_spans(), max_size=1))]
    return World(
        plans=draw(st.lists(_plans(), min_size=1, max_size=3)),
        replicas=draw(st.lists(st.floats(0, 9000), min_size=1, max_size=3)),
        replacements=draw(st.lists(replacement, max_size=3)),
        silences=silences,
        absences=absences,
        node_moves=sorted((at, sign * by) for at, by in node_moves),
        operator_moves=sorted(operator_moves),
        phase=draw(_times(14)),
        latency=draw(st.sampled_from([0.0, 0.2, 0.5])),
        end=600,
    )


@settings(max_examples=sampling.count(100, 300))
@given(_worlds())
def test_timelines_that_shrink(world: World) -> None:
    Simulation(world, Tally()).run()

"""How many free pods a pool keeps, for any demand."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pool_simulation import DAY, Fixed, simulate, working_days
from sandbox_crds.models.sandbox_pool import Autoscaling
from sandbox_operator.pools.sizing import FIRST_LEAD_TIME, LEAD_TIMES, PATIENCE, SLICE, WINDOW, Demand, Sizer

type Step = tuple[float, str]

STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 5.0, 60.0, PATIENCE, WINDOW]), st.sampled_from(["start", "ready", "look"])),
    max_size=80,
)
"""Seconds since the step before, and what happens."""


def limits(least: int = 0, most: int = 100, target: int = 90) -> Autoscaling:
    return Autoscaling(min_replicas=least, max_replicas=most, target_hit_rate=target)


def demand(starts: Sequence[float]) -> Demand:
    known = Demand()
    for start in starts:
        known.started(start)
    return known


def sizes(sizer: Sizer, starts: Sequence[float], end: float) -> list[tuple[float, int]]:
    """The size after each start, and whenever the sizer asks to be looked at, until `end`."""
    seen: list[tuple[float, int]] = []
    now = 0.0
    for start in [*starts, end]:
        while (look := sizer.look_again(now)) is not None and look < start:
            assert look > now
            now = look
            seen.append((now, sizer.size(now)))
        now = start
        if start < end:
            sizer.started(now)
        seen.append((now, sizer.size(now)))
    return seen


@pytest.mark.parametrize(
    ("starts", "target", "size"),
    [
        pytest.param([], 100, 0, id="nothing"),
        pytest.param([0], 1, 1, id="one"),
        pytest.param([0, FIRST_LEAD_TIME], 100, 1, id="one after the other: the taken pod has just been replaced"),
        pytest.param([0, FIRST_LEAD_TIME - 1], 100, 2, id="the second a little too early"),
        pytest.param([0] * 10, 100, 10, id="ten at once, all shall hit"),
        pytest.param([0] * 10, 90, 9, id="ten at once, one may miss"),
        pytest.param([0] * 10, 91, 10, id="ten at once, not quite one may miss"),
        pytest.param([100 * number for number in range(90)] + [9000] * 10, 90, 1, id="the burst is a tenth of all"),
        pytest.param([100 * number for number in range(90)] + [9000] * 10, 95, 5, id="and half of it shall hit"),
    ],
)
def test_the_least_size_that_was_enough(starts: list[float], target: int, size: int) -> None:
    assert demand(starts).size_for(target) == size


def test_pods_that_take_longer_are_kept_in_greater_number() -> None:
    known = Demand()
    for seconds in [10.0] * 24 + [100.0] * 8:
        known.ready(seconds)
    assert known.lead_time == 100
    for number in range(100):
        known.started(10.0 * number)
    assert known.size_for(90) == 10


def test_one_slow_pod_changes_nothing() -> None:
    known = Demand()
    for seconds in [10.0, 10.0, 10.0, 3000.0, 10.0]:
        known.ready(seconds)
    assert known.lead_time == 10
    for _ in range(LEAD_TIMES):
        known.ready(2.0)
    assert known.lead_time == 2


def test_starts_are_forgotten_when_they_are_not_recent() -> None:
    known = demand([0] * 10 + [WINDOW / 2])
    known.forget(WINDOW)
    assert known.size_for(100) == 10
    known.forget(WINDOW + SLICE)
    assert known.size_for(100) == 1
    known.forget(WINDOW * 2)
    assert known.size_for(100) == 0


@given(st.lists(st.floats(0, WINDOW), max_size=60).map(sorted), st.integers(1, 100), st.integers(1, 100))
def test_a_higher_target_never_needs_less(starts: list[float], one: int, other: int) -> None:
    known = demand(starts)
    assert known.size_for(min(one, other)) <= known.size_for(max(one, other)) <= len(starts)


@given(st.lists(st.floats(0, 3 * FIRST_LEAD_TIME), min_size=1, max_size=60).map(sorted), st.integers(1, 100))
def test_a_fixed_pool_of_that_size_reaches_the_target(starts: list[float], target: int) -> None:
    """Taken pods alone count here, and they are replaced after just one lead time."""
    size, hits = demand(starts).size_for(target), list[float]()
    for start in starts:
        if sum(hit > start - FIRST_LEAD_TIME for hit in hits) < size:
            hits.append(start)
    assert 100 * len(hits) >= target * len(starts)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(1, 100), STEPS)
def test_the_size_is_never_out_of_its_limits(one: int, other: int, first: int, target: int, steps: list[Step]) -> None:
    allowed = limits(min(one, other), max(one, other), target)
    sizer, now = Sizer(allowed, first), 0.0
    for seconds, what in steps:
        now += seconds
        if what == "start":
            sizer.started(now)
        elif what == "ready":
            sizer.ready(seconds)
        assert allowed.min_replicas <= sizer.size(now) <= allowed.max_replicas


@given(st.integers(0, 40), STEPS)
def test_it_shrinks_seldom_and_little(first: int, steps: list[Step]) -> None:
    sizer, now, shrunk = Sizer(limits(), first), 0.0, -PATIENCE
    before = sizer.size(now)
    for seconds, what in steps:
        now += seconds
        if what == "start":
            sizer.started(now)
        size = sizer.size(now)
        assert before - size <= max(1, before // 4)
        if size < before:
            assert now - shrunk >= PATIENCE
            shrunk = now
        before = size


def test_it_grows_at_once_and_shrinks_step_by_step() -> None:
    sizer = Sizer(limits(most=20), 0)
    seen = sizes(sizer, [0.0] * 40, 6 * WINDOW)
    assert seen[0] == (0.0, 1)
    assert max(time for time, size in seen if size == 20) >= WINDOW
    shrinking = [size for _, size in seen[seen.index((0.0, 20)) :]]
    assert sorted(shrinking, reverse=True) == shrinking
    assert list(dict.fromkeys(shrinking)) == [20, 15, 12, 9, 7, 6, 5, 4, 3, 2, 1, 0]


def test_it_shrinks_no_further_than_what_was_needed_meanwhile() -> None:
    sizer = Sizer(limits(target=100), 12)
    for _ in range(4):
        sizer.started(0)
    seen = [sizer.size(look * PATIENCE / 2) for look in range(20)]
    assert list(dict.fromkeys(seen)) == [12, 9, 7, 6, 5, 4]


@pytest.mark.parametrize("interval", [0.25, 1, 4.9, 60, 500])
def test_constant_demand_means_a_constant_size(interval: float) -> None:
    starts = [number * interval for number in range(int(3 * WINDOW / interval))]
    seen = sizes(Sizer(limits(), 0), starts, starts[-1] + interval / 2)
    settled = [size for time, size in seen if time >= WINDOW / 2]
    assert len(set(settled)) == 1
    assert all(before <= after for (_, before), (_, after) in pairwise(seen))


def test_a_new_leader_goes_on_with_the_size_of_before() -> None:
    sizer = Sizer(limits(), 40)
    assert sizer.size(0) == 40
    sizer.started(1)
    assert sizer.size(PATIENCE - 1) == 40
    assert sizer.size(PATIENCE) == 30


def test_new_limits_hold_at_once_and_keep_what_is_known() -> None:
    sizer = Sizer(limits(target=100), 0)
    for _ in range(50):
        sizer.started(0)
    assert sizer.size(0) == 50
    sizer.limit(limits(most=10))
    assert sizer.size(1) == 10
    sizer.limit(limits(least=20, most=30))
    assert sizer.size(2) == 30
    sizer.limit(limits(target=80))
    assert sizer.size(3) == 40


def test_nobody_needs_to_look_at_a_pool_of_the_least_size() -> None:
    sizer = Sizer(limits(least=3), 3)
    sizer.size(0)
    assert sizer.look_again(0) is None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bursts_of_working_days_are_met_with_fewer_pods_than_a_fixed_size_needs(seed: int) -> None:
    end = 3 * DAY
    starts = working_days(seed, days=3)
    adaptive = simulate(starts, Sizer(limits(most=60, target=95), 1), end)
    assert adaptive.hit_rate >= 95 - 2

    as_good = next(
        fixed for size in range(60) if (fixed := simulate(starts, Fixed(size), end)).hit_rate >= adaptive.hit_rate
    )
    assert adaptive.pod_hours < 0.7 * as_good.pod_hours

    equal_hours = -(-adaptive.pod_hours * 3600 // end)  # rounded up, in favour of the fixed size
    assert simulate(starts, Fixed(int(equal_hours)), end).hit_rate < adaptive.hit_rate - 3


def test_a_fixed_size_costs_what_it_says() -> None:
    outcome = simulate([100.0, 100.0, 100.0], Fixed(2), 3600)
    assert (outcome.starts, outcome.hits, outcome.pod_hours) == (3, 2, pytest.approx(2))
    assert outcome.sizes == [(0.0, 2)]

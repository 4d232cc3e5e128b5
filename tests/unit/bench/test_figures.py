"""Arithmetic of measurements."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import difference, each, median, percentile, rate, ratios, spread

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 1), (0.01, 1), (0.5, 5), (0.51, 6), (0.9, 9), (0.91, 10), (0.99, 10), (1, 10)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([7, 3, 1, 10, 9, 8, 2, 4, 6, 5], share) == expected


@given(VALUES, st.floats(0, 1))
def test_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) <= share * len(values)


@given(VALUES)
def test_spread_rises(values: list[float]) -> None:
    found = spread(values)
    assert found.p50 <= found.p90 <= found.p99 <= found.most == max(values)


def test_nothing_measured_is_no_number() -> None:
    assert math.isnan(percentile([], 0.5))
    assert math.isnan(spread([]).most)
    assert math.isnan(median([]))
    assert rate([]) == 0
    assert each({"etcd": 1.0}, 0) == {}


def test_ratios_go_pair_by_pair() -> None:
    assert ratios([10, 30], [20, 40]) == [0.5, 0.75]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_rate_is_up_to_the_last_moment() -> None:
    assert rate([0.5, 2.0, 1.0]) == 1.5


def test_cpu_of_each() -> None:
    spent = difference({"etcd": 3.0, "new": 0.5}, {"etcd": 1.0, "gone": 9.0})
    assert spent == {"etcd": 2.0, "new": 0.5}
    assert each(spent, 100) == {"etcd": 20.0, "new": 5.0}

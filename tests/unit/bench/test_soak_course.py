"""What a soak makes of its samples."""

import math

import pytest

from bench.soak.course import Course, Sample, faults, growth, quarters, rows


def test_growth_is_percent_an_hour_from_a_minute_on() -> None:
    samples = [Sample(0, 10, 1), *(Sample(minute, 100 + minute / 60, 1) for minute in (60, 90, 120))]
    assert growth(samples, 60) == pytest.approx(100 / 101)
    assert growth([Sample(minute, 50, 1) for minute in range(3)], 0) == 0
    assert math.isnan(growth(samples, 120))


def test_the_first_and_the_last_quarter_are_apart() -> None:
    starts = [(0.0, 1.0), (24.9, 2.0), (25.0, 3.0), (74.9, 4.0), (75.0, 5.0), (99.0, 6.0)]
    assert quarters(starts, 100) == ([1.0, 2.0], [5.0, 6.0])


def test_the_table_has_both_processes_and_all_troubles() -> None:
    course = Course(starts=[(1.0, 0.5), (110.0, 0.7)])
    course.troubles.update({"node gone": 2, "API key rotated": 1})
    course.samples = {name: [Sample(0, 50, 9), Sample(1, 50, 9), Sample(2, 51, 10)] for name in ("operator", "gateway")}
    table = dict(rows(course, 2))
    assert table["troubles"] == "1 API key rotated, 2 node gone"
    assert table["start p50, first and last quarter"] == "0.50 s, 0.70 s"
    assert table["open files of the gateway"] == "9 at first, 10 at the end"
    assert "memory of the operator" in table


def test_growth_slow_starts_and_open_files_are_faults_of_long_runs() -> None:
    grown = [Sample(minute, 100 + minute / 30, 9 + minute // 12) for minute in range(121)]
    course = Course(starts=[(1.0, 1.0), (7000.0, 1.3)], samples={"operator": grown}, failed=["cold-1: lost"])
    assert faults(course, 120) == [
        "failed: cold-1: lost",
        "the operator has 10 more open files than at the beginning",
        "the operator grows by 2.0 % an hour",
        "starts take 1.30 s in the last quarter, 1.00 s in the first",
    ]
    # Too short to be judged.
    short = Course(starts=[(1.0, 1.0), (590.0, 9.0)], samples={"operator": grown[:10]})
    assert faults(short, 10) == []

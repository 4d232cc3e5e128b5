"""What is written about sizes of pools."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from bench.pool_simulation import DAY, Outcome, working_days
from bench.pool_size import TARGETS, comparison, fixed_sizes, main


def test_a_fixed_size_is_named_that_is_as_good_and_one_that_is_as_dear() -> None:
    fixed = {size: Outcome(starts=100, hits=hits, pod_hours=24.0 * size) for size, hits in enumerate([0, 60, 90, 100])}
    outcome = Outcome(starts=100, hits=90, pod_hours=30, sizes=[(0, 1), (5, 4), (9, 2)])
    found = comparison(95, outcome, fixed, DAY)
    assert found["as_good"] == {"size": 2, "pod_hours": 48}
    assert found["as_dear"] == {"size": 2, "hit_rate": 90}
    assert (found["hit_rate"], found["size_changes"], found["largest"]) == (90, 2, 4)


def test_fixed_sizes_end_where_every_start_hits() -> None:
    fixed = fixed_sizes([1000.0, 1000.0, 1000.0], DAY)
    assert [outcome.hits for outcome in fixed.values()] == [0, 1, 2, 3]


def test_made_up_days_are_the_same_for_the_same_seed() -> None:
    assert working_days(5, 1) == working_days(5, 1) != working_days(6, 1)


def test_days_are_busier_than_nights() -> None:
    hours = [start % DAY / 3600 for start in working_days(5, 5)]
    assert sum(8 <= hour <= 19 for hour in hours) > 20 * sum(not 8 <= hour <= 19 for hour in hours)


def test_the_command_writes_a_table_numbers_and_a_plot(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    numbers, plot = tmp_path / "numbers.json", tmp_path / "plot.svg"
    answer = CliRunner().invoke(app, ["--days", "1", "--json", str(numbers), "--svg", str(plot)])
    assert answer.exit_code == 0
    assert "simulated days" in answer.stdout
    written = json.loads(numbers.read_text())
    assert [row["target"] for row in written["autoscaling"]] == list(TARGETS)
    assert [row["size"] for row in written["fixed"]] == list(range(len(written["fixed"])))
    assert ElementTree.fromstring(plot.read_text()).tag.endswith("svg")  # noqa: S314 - the text is our own


@pytest.mark.parametrize("arguments", [["--days", "0"], ["--largest", "-1"], ["--seed", "x"]])
def test_the_command_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    app = typer.Typer()
    app.command()(main)
    assert CliRunner().invoke(app, arguments).exit_code == 2

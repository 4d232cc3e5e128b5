"""How good predictions of pulls are: within a quarter at the median. `pytest -s` prints the errors."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median

import pytest

from unit.sandbox_operator.watching.node_pulls import Pull, errors, simulated

COUNT = 32
MB = 10**6
MOST = 0.25
RECORDED = Path(__file__).with_name("recorded_pulls.json")
"""Of the local cluster's node, from a registry that gave 5 MB/s: 8 pulls by themselves, 6 together, and 10 with four
under way at each time. Some of the images share a layer of 15 MB. The node pulled side by side."""


def judge(what: str, found: Sequence[float]) -> None:
    print(f"{what}: {len(found)} predictions, error {median(found):.0%} at the median")
    assert median(found) <= MOST


def test_on_a_real_node() -> None:
    pulls = [Pull(**pull) for pull in json.loads(RECORDED.read_text())]
    found = errors(pulls)
    assert len(found) > len(pulls) / 2
    judge("a real node", found)


@pytest.mark.parametrize("together", [True, False], ids=["side by side", "one after another"])
@pytest.mark.parametrize("when", ["now and then", "in bursts", "eight at a time"])
@pytest.mark.parametrize("what", ["of one size", "of all sizes"])
def test_on_simulated_nodes(*, together: bool, when: str, what: str) -> None:
    found: list[float] = []
    for seed in range(3):
        random = Random(seed)
        choices = [100] if what == "of one size" else [20, 50, 100, 400]
        sizes = [int(random.choice(choices) * MB * random.uniform(0.7, 1.3)) for _ in range(COUNT)]
        # So that the node pulls for most of the time.
        span = 1.2 * sum(sizes) / 20e6
        asked: dict[str, list[float | None]] = {
            "now and then": [*sorted(random.uniform(0, span) for _ in sizes)],
            "in bursts": [span * (number // 8) / (COUNT / 8) for number in range(COUNT)],
            "eight at a time": [None] * COUNT,
        }
        found += errors(simulated(asked[when], sizes, random, together=together))
    assert len(found) > 3 * COUNT / 2
    judge(f"{what}, {when}, {'side by side' if together else 'one after another'}", found)

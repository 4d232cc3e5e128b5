"""How large a pool must be: `python -m bench.pool_size --help`.

Simulates the operator's own sizing on made-up working days, and pools of a fixed size beside it. Needs no cluster.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench.lines import Panel, Series, figure
from bench.pool_simulation import DAY, Fixed, Outcome, simulate, working_days
from local_cluster.paths import ROOT
from sandbox_crds.models.sandbox_pool import Autoscaling
from sandbox_operator.pools.sizing import Sizer

TARGETS = (80, 90, 95, 98)
SHOWN = 95
"""The target whose size over time is shown."""

BINS = 600
"""Seconds of starts that are counted together in the plot."""

LEAST_SHOWN = 50
"""Percent of hits at which the plot of costs begins."""

TITLE = "A pool that follows its demand, against fixed sizes (simulated)"


def sized(starts: Sequence[float], target: int, largest: int, end: float) -> Outcome:
    """What the operator's sizing makes of the starts, for a target hit rate in percent."""
    limits = Autoscaling(min_replicas=0, max_replicas=largest, target_hit_rate=target)
    return simulate(starts, Sizer(limits, 1), end)


def fixed_sizes(starts: Sequence[float], end: float) -> dict[int, Outcome]:
    """All fixed sizes from none up to the first that every start hits."""
    outcomes: dict[int, Outcome] = {}
    while not outcomes or outcomes[len(outcomes) - 1].hits < len(starts):
        outcomes[len(outcomes)] = simulate(starts, Fixed(len(outcomes)), end)
    return outcomes


def comparison(target: int, outcome: Outcome, fixed: Mapping[int, Outcome], end: float) -> dict[str, Any]:
    """The outcome beside the fixed size that is hit as often, and the one that costs as much, rounded up."""
    as_good = next(size for size, other in fixed.items() if other.hit_rate >= outcome.hit_rate)
    as_dear = min(ceil(outcome.pod_hours * 3600 / end), max(fixed))
    return {
        "target": target,
        "hit_rate": round(outcome.hit_rate, 2),
        "pod_hours": round(outcome.pod_hours, 1),
        "size_changes": len(outcome.sizes) - 1,
        "largest": max(size for _, size in outcome.sizes),
        "as_good": {"size": as_good, "pod_hours": round(fixed[as_good].pod_hours, 1)},
        "as_dear": {"size": as_dear, "hit_rate": round(fixed[as_dear].hit_rate, 2)},
    }


def plot(starts: Sequence[float], sizes: Mapping[int, Outcome], fixed: Mapping[int, Outcome], end: float) -> str:
    """Demand and size over time, and what hit rates cost."""
    days = end / DAY
    binned = Counter(int(start // BINS) for start in starts)
    demand = [(number * BINS / DAY, float(binned[number])) for number in range(ceil(end / BINS))]
    followed = [(time / DAY, float(size)) for time, size in sizes[SHOWN].sizes]
    shown = [each for each in fixed.values() if each.hit_rate >= LEAST_SHOWN]
    points = sorted((outcome.pod_hours, outcome.hit_rate, target) for target, outcome in sizes.items())
    return figure(
        TITLE,
        [
            Panel("Demand", "days", "starts in ten minutes", [Series("starts", [*demand, (days, 0.0)], "step")]),
            Panel(
                f"Free pods that are kept for a target of {SHOWN} %",
                "days",
                "free pods",
                [Series("size", [*followed, (days, followed[-1][1])], "step")],
            ),
            Panel(
                "What a hit rate costs",
                "pod-hours of free pods",
                "starts that find a ready pod, in percent",
                [
                    Series("fixed sizes", sorted((each.pod_hours, each.hit_rate) for each in shown)),
                    Series(
                        "autoscaling, by target",
                        [(cost, rate) for cost, rate, _ in points],
                        "dots",
                        [f"{target} %" for *_, target in points],
                    ),
                ],
                y_from=LEAST_SHOWN,
            ),
        ],
    )


def show(rows: Sequence[Mapping[str, Any]], starts: int, days: int) -> None:
    """Print the comparisons."""
    table = Table(title=f"{starts} starts in {days} simulated days")
    for heading in (
        "target",
        "hit rate",
        "pod-hours",
        "changes of size",
        "largest size",
        "fixed size with that hit rate: size",
        "pod-hours",
        "fixed size with those pod-hours: size",
        "hit rate",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        good, dear = row["as_good"], row["as_dear"]
        table.add_row(
            f"{row['target']} %",
            f"{row['hit_rate']:.1f} %",
            f"{row['pod_hours']:.0f}",
            str(row["size_changes"]),
            str(row["largest"]),
            str(good["size"]),
            f"{good['pod_hours']:.0f}",
            str(dear["size"]),
            f"{dear['hit_rate']:.1f} %",
        )
    Console(width=140).print(table)


def main(
    days: Annotated[int, typer.Option(min=1, help="of made-up demand")] = 5,
    seed: Annotated[int, typer.Option(help="of the random numbers")] = 1,
    largest: Annotated[int, typer.Option(min=1, max=10_000, help="maxReplicas of the autoscaling")] = 100,
    output: Annotated[Path, typer.Option("--json", help="where the numbers go")] = ROOT / "docs" / "pool-size.json",
    svg: Annotated[Path, typer.Option("--svg", help="where the plot goes")] = ROOT / "docs" / "pool-size.svg",
) -> None:
    """Simulate a pool with autoscaling and pools of fixed sizes; print a table, write the numbers and a plot."""
    end, starts = days * DAY, working_days(seed, days)
    sizes = {target: sized(starts, target, largest, end) for target in TARGETS}
    fixed = fixed_sizes(starts, end)
    rows = [comparison(target, outcome, fixed, end) for target, outcome in sizes.items()]
    show(rows, len(starts), days)
    numbers = {
        "days": days,
        "seed": seed,
        "starts": len(starts),
        "autoscaling": rows,
        "fixed": [
            {"size": size, "hit_rate": round(each.hit_rate, 2), "pod_hours": round(each.pod_hours, 1)}
            for size, each in fixed.items()
        ],
    }
    output.write_text(json.dumps(numbers, indent=2) + "\n")
    svg.write_text(plot(starts, sizes, fixed, end))


if __name__ == "__main__":
    typer.run(main)

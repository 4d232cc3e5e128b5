"""Warm claims through the gateway, the pool refilling: `python -m bench.claims --help`.

Requests come on schedule, even if earlier ones are not answered. Each is timed from the moment when it was due until
the answer of /start. The Sandbox's status says whether it was a claim or a cold start.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from bench.bare_pods import BarePods
from bench.classes import LEAN, spec_of
from bench.figures import each, percentile
from bench.lines import Panel, Series, figure
from bench.load import Load, Run, burst, steady
from bench.plane import plane
from bench.product import Product, running
from bench.tables import Grid, fill
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

_WARM_UP = 30
_SATURATED = 0.9
"""A rate is saturated if less than this share of it is reached."""
_SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Sizes:
    """Free pods before each run, claims of a burst, and how many bursts."""

    pool: int
    burst: int
    bursts: int


@dataclass
class Found:
    """Runs by rate, those of a burst, and bare pods at the first rate."""

    steady: dict[float, Run] = field(default_factory=dict[float, Run])
    bursts: list[Run] = field(default_factory=list[Run])
    bare: dict[str, Run] = field(default_factory=dict[str, Run])

    def rows(self) -> dict[str, Run]:
        """All of them by what they are called."""
        rates = {f"claims, {rate:g}/s": run for rate, run in self.steady.items()}
        bursts = {f"burst of {run.asked} claims, {number}": run for number, run in enumerate(self.bursts, 1)}
        return self.bare | rates | bursts


async def measure(product: Product, rates: Sequence[float], seconds: float, sizes: Sizes, progress: Progress) -> Found:
    """From the lowest rate up to the first that is not reached, then the bursts."""
    here, http, found = product.plane, product.http, Found()
    pods = BarePods(here.client, here.namespace, "bare pods", spec_of(LEAN, product.sandboxes))
    bare, claims = Load(pods, here, product.cpu), Load(http, here, product.cpu)
    await bare.run(pods.create, burst(_WARM_UP), "bare-warm")
    name = f"bare pods, {rates[0]:g}/s"
    with progress.step(f"{name} for {seconds:g} s"):
        found.bare[name] = await bare.run(pods.create, steady(rates[0], seconds), "bare")
    with progress.step(f"fill a pool with {sizes.pool} pods"):
        await http.fill(sizes.pool)
        await claims.run(http.claim, burst(_WARM_UP), "warm")
    for rate in sorted(rates):
        await refill(product, sizes.pool)
        with progress.step(f"{rate:g} claims/s for {seconds:g} s"):
            run = await claims.run(http.claim, steady(rate, seconds), "steady")
        report(run, progress)
        found.steady[rate] = run
        if run.rate < _SATURATED * rate:
            break
    for _ in range(sizes.bursts):
        await refill(product, sizes.pool)
        with progress.step(f"{sizes.burst} claims at once"):
            run = await claims.run(http.claim, burst(sizes.burst), "burst")
        report(run, progress)
        found.bursts.append(run)
    return found


async def refill(product: Product, size: int) -> None:
    """Return when the pool is full and nothing is left to do."""
    await product.http.fill(size)
    await product.cpu.settle()


def report(run: Run, progress: Progress) -> None:
    """Say what a run came to."""
    summary = run.summary()
    progress.say(
        f"        {run.rate:.1f}/s, {run.warm} of {run.done} warm, ms {summary['ms']}, {len(run.failures)} failed"
    )


def main(
    rates: Annotated[str, typer.Option(help="claims a second, with commas between")] = "10,20,30,45,60,80",
    seconds: Annotated[float, typer.Option(min=1, max=120, help="length of each")] = 8,
    burst_size: Annotated[int, typer.Option("--burst", min=1, max=2000, help="claims at once")] = 200,
    bursts: Annotated[int, typer.Option(min=0, max=10, help="how many bursts")] = 2,
    pool: Annotated[int, typer.Option(min=1, max=5000, help="free pods before each run")] = 250,
    directory: Annotated[Path, typer.Option(help="where claims.json and claims.svg go")] = ROOT / "docs",
) -> None:
    """Measure warm claims at rising rates until saturation, and in bursts; write a table, the numbers and a chart."""
    try:
        asked = [float(rate) for rate in rates.split(",")]
    except ValueError:
        raise typer.BadParameter("--rates takes numbers with commas between, such as 10,45") from None
    if not all(0 < rate <= 1000 for rate in asked):
        raise typer.BadParameter("--rates takes numbers above 0, up to 1000")
    sizes = Sizes(pool, burst_size, bursts)
    found = uvloop.run(whole(asked, seconds, sizes, Progress()))
    table = grid(found.rows())
    table.show()
    fill(directory / "measurements.md", "claims", table)
    rows: dict[str, Any] = {name: run.summary() for name, run in found.rows().items()}
    (directory / "claims.json").write_text(json.dumps({"pool": pool, "runs": rows}, indent=2) + "\n")
    (directory / "claims.svg").write_text(chart(found.steady))
    if problems := [f"{name}: {len(run.failures)} failed" for name, run in found.rows().items() if run.failures]:
        typer.echo("\n".join(problems), err=True)
        raise typer.Exit(1)


async def whole(rates: Sequence[float], seconds: float, sizes: Sizes, progress: Progress) -> Found:
    """All runs, on one control plane."""
    async with plane(progress, **LEAN) as here, running(here) as product:
        return await measure(product, rates, seconds, sizes, progress)


def chart(runs: Mapping[float, Run]) -> str:
    """Percentiles over the rate."""
    lines = [
        Series(f"p{share * 100:g}", [(rate, 1000 * percentile(run.waits, share)) for rate, run in runs.items()])
        for share in _SHARES
    ]
    title = "Warm claims: from the request to /start's answer, the pool refilling"
    return figure(title, [Panel("Open loop", "claims a second", "milliseconds", lines)])


def grid(rows: Mapping[str, Run]) -> Grid:
    """All of it."""
    cells: list[list[str]] = []
    for name, run in rows.items():
        waits = (f"{1000 * percentile(run.waits, share):.0f}" for share in _SHARES)
        counts = (str(count) for count in (run.warm, run.done - run.warm, len(run.failures)))
        spent = each(run.cpu, run.done)
        ours = (f"{spent.get(process, 0):.1f}" for process in ("apiserver", "etcd", "operator", "gateway"))
        cells.append([name, f"{run.rate:.1f}", *counts, *waits, f"{sum(spent.values()):.0f}", *ours])
    headings = ["", "reached /s", "warm", "cold", "failed", "p50 ms", "p90 ms", "p99 ms", "CPU ms"]
    return Grid(
        "Warm claims through /start; milliseconds of CPU for each, refill included",
        [*headings, "apiserver", "etcd", "operator", "gateway"],
        cells,
    )


if __name__ == "__main__":
    typer.run(main)

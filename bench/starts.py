"""Cold starts against bare pods: `python -m bench.starts --help`.

Both are driven by one client on one control plane, in turn, so that a ratio says what the controller adds whatever the
machine does meanwhile. The bare pods have the same spec as those of the sandboxes; the least pods that there can be
are measured besides.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
import uvloop

from bench.bare_pods import SMALL, BarePods
from bench.chart import chart as drawn
from bench.classes import LEAN, chart, spec_of
from bench.figures import each, median, percentile, ratios
from bench.load import Adapter, Load, Run, burst, steady
from bench.plane import plane
from bench.product import OURS, PROCESSES, Product, running
from bench.tables import Grid, fill
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

SMALL_PODS, SAME_PODS, GATEWAY, SANDBOXES = "small bare pods", "bare pods", "gateway /start", "Sandboxes"
_WARM_UP = 50
_RARE = 0.01
_TITLE = "CPU of one start by process, in milliseconds: cold starts against bare pods"


@dataclass
class Series:
    """Runs of one class of pods by what was under load, pair by pair; and how large the bodies are."""

    bytes_of: dict[str, int]
    bursts: dict[str, list[Run]] = field(default_factory=dict[str, list[Run]])
    steady: dict[str, Run] = field(default_factory=dict[str, Run])

    def ratio(self, title: str, ceiling: str) -> list[float]:
        """Rates of the one through rates of the other, pair by pair."""
        of, to = ([run.rate for run in self.bursts[name]] for name in (title, ceiling))
        return ratios(of, to)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "bytes_sent": self.bytes_of,
            "bursts": {title: [run.summary() for run in runs] for title, runs in self.bursts.items()},
            "ratios": {
                f"{title} / {ceiling}": [round(value, 3) for value in self.ratio(title, ceiling)]
                for title in (GATEWAY, SANDBOXES)
                for ceiling in (SAME_PODS, SMALL_PODS)
                if title in self.bursts
            },
            "steady": {title: run.summary() for title, run in self.steady.items()},
        }


async def measure(
    product: Product, class_spec: dict[str, Any], options: "Options", progress: Progress, name: str
) -> Series:
    """All runs of one class."""
    here, sandboxes = product.plane, product.sandboxes
    await here.set_class(class_spec)
    specs = {SMALL_PODS: SMALL, SAME_PODS: spec_of(class_spec, sandboxes)}
    bare = {title: BarePods(here.client, here.namespace, title, spec) for title, spec in specs.items()}
    under_load: dict[str, Adapter] = {**bare, GATEWAY: product.http}
    if options.direct:
        under_load[SANDBOXES] = sandboxes
    series = Series({title: len(orjson.dumps(pods.body("a-pod-of-the-load"))) for title, pods in bare.items()})
    loads = {title: Load(adapter, here, product.cpu) for title, adapter in under_load.items()}
    for title, load in loads.items():
        await load.run(load.adapter.create, burst(_WARM_UP), f"warm-{name}-{slug(title)}")
    for pair in range(options.pairs):
        # To and fro, so that none is always the first.
        for title in list(loads) if pair % 2 == 0 else list(reversed(loads)):
            load = loads[title]
            with progress.step(f"{name}, pair {pair + 1} of {options.pairs}: {options.burst} {title} at once"):
                run = await load.run(load.adapter.create, burst(options.burst), f"burst-{name}-{slug(title)}")
            report(run, progress)
            series.bursts.setdefault(title, []).append(run)
    if options.rate:
        for title in (SAME_PODS, GATEWAY):
            load = loads[title]
            with progress.step(f"{name}: {title}, {options.rate:g}/s for {options.seconds:g} s"):
                due = steady(options.rate, options.seconds)
                run = await load.run(load.adapter.create, due, f"steady-{name}-{slug(title)}")
            report(run, progress)
            series.steady[title] = run
    return series


def slug(title: str) -> str:
    """As a part of names of pods."""
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


def report(run: Run, progress: Progress) -> None:
    """Say what a run came to."""
    summary = run.summary()
    progress.say(
        f"        {run.rate:.1f}/s, ms {summary['ms']}, {len(run.failures)} failed {summary['failures'] or ''}"
    )


@dataclass(frozen=True)
class Options:
    """Of the command."""

    burst: int
    pairs: int
    rate: float
    seconds: float
    direct: bool


async def all_runs(classes: Mapping[str, dict[str, Any]], options: Options, progress: Progress) -> dict[str, Series]:
    """By the name of the class, all on the same control plane."""
    async with plane(progress) as here, running(here) as product:
        return {name: await measure(product, spec, options, progress, name) for name, spec in classes.items()}


def main(
    burst_size: Annotated[int, typer.Option("--burst", min=1, max=5000, help="starts at once")] = 500,
    pairs: Annotated[int, typer.Option(min=1, max=20, help="bursts of each kind, in turn")] = 3,
    rate: Annotated[float, typer.Option(min=0, max=200, help="steady starts a second; 0: none")] = 20,
    seconds: Annotated[float, typer.Option(min=1, max=120, help="length of the steady load")] = 5,
    only: Annotated[str, typer.Option(help="one class only: lean or chart")] = "",
    direct: Annotated[bool, typer.Option(help="also Sandboxes without the gateway")] = False,
    directory: Annotated[Path, typer.Option(help="where starts.json and starts.svg go")] = ROOT / "docs",
) -> None:
    """Measure cold starts through gateway and operator against bare pods; write a table, the numbers and a chart."""
    classes = {"lean": LEAN, "chart": chart()}
    if only and only not in classes:
        raise typer.BadParameter(f"--only must be one of {', '.join(classes)}")
    options = Options(burst_size, pairs, rate, seconds, direct)
    chosen = {name: spec for name, spec in classes.items() if only in {"", name}}
    found = uvloop.run(all_runs(chosen, options, Progress()))
    for grid in (rates(found), shares(found), asked(found)):
        grid.show()
    page = directory / "measurements.md"
    fill(page, "starts", rates(found))
    fill(page, "cpu of starts", shares(found))
    (directory / "starts.json").write_text(
        json.dumps({name: series.summary() for name, series in found.items()}, indent=2) + "\n"
    )
    rows = {
        f"{name}: {title}": medians(runs)
        for name, series in found.items()
        for title, runs in series.bursts.items()
        if any(run.done for run in runs)
    }
    (directory / "starts.svg").write_text(drawn(_TITLE, rows, dict.fromkeys(PROCESSES, ""), "ms"))
    if failed := sum(len(run.failures) for run in everything(found)):
        typer.echo(f"{failed} starts failed; starts.json says why", err=True)
        raise typer.Exit(1)


def everything(found: Mapping[str, Series]) -> list[Run]:
    """All runs."""
    bursts = [run for series in found.values() for runs in series.bursts.values() for run in runs]
    return bursts + [run for series in found.values() for run in series.steady.values()]


def rates(found: Mapping[str, Series]) -> Grid:
    """Rates, waits and ratios: medians over the pairs, of ratios the range, too."""
    rows: list[list[str]] = []
    for name, series in found.items():
        for title, runs in series.bursts.items():
            shares = [
                span(series.ratio(title, ceiling)) if title in {GATEWAY, SANDBOXES} else ""
                for ceiling in (SAME_PODS, SMALL_PODS)
            ]
            rows.append([f"{name}: {title}, {runs[0].asked} at once", *line(runs), *shares])
        for title, run in series.steady.items():
            rows.append([f"{name}: {title}, steady", *line([run]), "", ""])
    headings = ["", "starts/s", "p50 ms", "p99 ms", "of bare pods", "of small ones"]
    return Grid("Cold starts, and how their rate compares", headings, rows)


def shares(found: Mapping[str, Series]) -> Grid:
    """CPU by process."""
    rows = [
        [f"{name}: {title}", f"{sum(medians(runs).values()):.1f}", *cpu(runs)]
        for name, series in found.items()
        for title, runs in series.bursts.items()
        if any(run.done for run in runs)
    ]
    return Grid("Milliseconds of CPU for each start of a burst", ["", "all", *PROCESSES], rows)


def asked(found: Mapping[str, Series]) -> Grid:
    """Requests of operator and gateway for each start; what is rarer than one in a hundred is left out."""
    rows: list[list[str]] = []
    for name, series in found.items():
        for title, runs in series.bursts.items():
            if not (done := runs[-1].done):
                continue
            for who in OURS:
                requests = sorted(runs[-1].requests.items())
                counts = {what: number / done for (agent, what), number in requests if agent == who}
                if words := [f"{number:.2f} {what}" for what, number in counts.items() if number >= _RARE]:
                    rows.append([f"{name}: {title}", who, ", ".join(words)])
    return Grid("Requests of the API server for each start of a burst", ["", "who", "what"], rows)


def line(runs: Sequence[Run]) -> list[str]:
    """Rate and waits, medians over the runs."""
    rates = median([run.rate for run in runs])
    waits = (median([1000 * percentile(run.waits, share) for run in runs]) for share in (0.5, 0.99))
    return [f"{rates:.0f}", *(f"{wait:.0f}" for wait in waits)]


def cpu(runs: Sequence[Run]) -> list[str]:
    """`medians` as cells."""
    return [f"{value:.1f}" for value in medians(runs).values()]


def medians(runs: Sequence[Run]) -> dict[str, float]:
    """Milliseconds of CPU for one start by process."""
    spent = [each(run.cpu, run.done) for run in runs if run.done]
    return {process: median([one[process] for one in spent]) for process in PROCESSES}


def span(values: Sequence[float]) -> str:
    """Median, least and greatest."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    typer.run(main)

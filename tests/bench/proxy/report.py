"""The figures of a comparison as a table, as JSON and as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.figures import median, ratios
from bench.lines import Panel, Series, figure
from bench.proxy.cases import Case, Run
from bench.proxy.servers import NGINX, OURS
from bench.tables import Grid

type Runs = Mapping[str, Sequence[Run]]
"""Rounds by target, in the same order for all: the n-th of each were measured side by side."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds; `ratio` is the rate by nginx's of the same round, with its least and greatest."""

    rate: float
    ratio: float
    ratio_least: float
    ratio_greatest: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def summarize(runs: Runs) -> dict[str, Figures]:
    """By target; nginx must be among them."""
    ceilings = [run.rate for run in runs[NGINX]]
    found: dict[str, Figures] = {}
    for target, rounds in runs.items():
        shares = ratios([run.rate for run in rounds], ceilings[: len(rounds)])
        found[target] = Figures(
            rate=median([run.rate for run in rounds]),
            ratio=median(shares),
            ratio_least=min(shares),
            ratio_greatest=max(shares),
            p50_ms=median([run.p50 for run in rounds]),
            p99_ms=median([run.p99 for run in rounds]),
            cpu_us=median([run.cpu for run in rounds]),
        )
    return found


def table(cases: Mapping[str, Case], found: Mapping[str, Mapping[str, Figures]]) -> Grid:
    """One row a case and target."""
    rows = [
        [
            cases[name].title if number == 0 else "",
            target,
            f"{one.rate:,.0f} {cases[name].unit}/s",
            f"{one.ratio:.2f} ({one.ratio_least:.2f}-{one.ratio_greatest:.2f})",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.cpu_us:.1f}",
        ]
        for name, by_target in found.items()
        for number, (target, one) in enumerate(by_target.items())
    ]
    headings = ["", "through", "rate", "of nginx's", "p50 ms", "p99 ms", "CPU µs each"]
    return Grid("The data plane beside nginx", headings, rows)


def idle_table(found: Mapping[str, Mapping[str, float]]) -> Grid:
    """KiB for each idle connection, by kind and target."""
    names = list(next(iter(found.values())))
    rows = [[kind, *(f"{by_target[name]:.1f}" for name in names)] for kind, by_target in found.items()]
    return Grid("KiB for each idle connection", ["", *names], rows)


def as_json(
    cases: Mapping[str, Case], found: Mapping[str, Mapping[str, Figures]], idle: Mapping[str, Mapping[str, float]]
) -> dict[str, object]:
    """Everything, by case and target."""
    return {
        "cases": {
            name: {
                "title": cases[name].title,
                "unit": cases[name].unit,
                **{key: asdict(one) for key, one in by.items()},
            }
            for name, by in found.items()
        },
        "idle_kib": {kind: dict(by_target) for kind, by_target in idle.items()},
    }


def plot(cases: Mapping[str, Case], found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Our rate as a share of nginx's, a dot a case, nginx itself being the line at 1."""
    names = [name for name in found if OURS in found[name]]
    dots = Series(
        "ours",
        [(number + 1, found[name][OURS].ratio) for number, name in enumerate(names)],
        "dots",
        [f"{name} {found[name][OURS].ratio:.2f}" for name in names],
    )
    nginx = Series("nginx", [(0, 1.0), (len(names) + 1, 1.0)])
    title = "Rate of the data plane as a share of nginx's, one core each"
    return figure(title, [Panel(title, "case", "share", [dots, nginx])])

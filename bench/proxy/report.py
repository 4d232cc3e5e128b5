"""The figures of a comparison as a table, as JSON and as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from xml.sax.saxutils import escape

from bench.chart import COLOURS
from bench.figures import median, ratios
from bench.proxy.cases import STEADY, Case, Run
from bench.proxy.servers import DIRECT, NGINX, OURS
from bench.tables import Grid

_LABELS, _PLOT, _ROW, _TOP = 290, 440, 28, 48
_WIDTH = _LABELS + _PLOT + 70

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
            "" if target == DIRECT else f"{one.cpu_us:.1f}",
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
    """An SVG: a bar a case for our rate as a share of nginx's, from the least to the greatest ratio a thin line."""
    rows = {
        f"{cases[name].title}": by_target[OURS]
        for name, by_target in found.items()
        if OURS in by_target and name != STEADY
    }
    longest = max(1.0, *(one.ratio_greatest for one in rows.values()))
    scale, height = _PLOT / longest, _TOP + _ROW * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#24292f">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="15" font-weight="600">'
        "Rate of the data plane as a share of nginx\u2019s, one core each</text>",
    ]
    for number, (title, one) in enumerate(rows.items()):
        y = _TOP + _ROW * number
        middle = y + _ROW / 2
        behind = _LABELS + max(one.ratio_greatest, 1.0) * scale + 8  # and behind the line of nginx
        parts += [
            f'<text x="{_LABELS - 10}" y="{middle + 4}" text-anchor="end">{escape(title)}</text>',
            f'<rect x="{_LABELS}" y="{y + 4}" width="{one.ratio * scale:.1f}" height="{_ROW - 8}" '
            f'fill="{COLOURS[0]}"/>',
            f'<line x1="{_LABELS + one.ratio_least * scale:.1f}" x2="{_LABELS + one.ratio_greatest * scale:.1f}" '
            f'y1="{middle}" y2="{middle}" stroke="#24292f"/>',
            f'<text x="{behind:.1f}" y="{middle + 4}">{one.ratio:.2f}</text>',
        ]
    bottom = _TOP + _ROW * len(rows)
    at_one = f"{_LABELS + scale:.1f}"
    parts += [
        f'<line x1="{at_one}" x2="{at_one}" y1="{_TOP - 6}" y2="{bottom + 6}" stroke="{COLOURS[3]}" stroke-width="2"/>',
        f'<text x="{at_one}" y="{bottom + 22}" text-anchor="middle">nginx</text>',
    ]
    return "\n".join([*parts, "</svg>", ""])

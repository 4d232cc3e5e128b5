"""Panels of a dashboard as one SVG for each row: two in a line, each with its legend below."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.chart import COLOURS
from bench.lines import ticks

type Points = list[tuple[float, float]]

PLOT, HEIGHT, LEFT = 352, 130, 66
_COLUMN = LEFT + PLOT + 22
_MARGIN = 12
WIDTH = 2 * _COLUMN + _MARGIN
_HEAD, _TITLE, _BELOW, _FOOT = 34, 38, 26, 24
_ENTRY = 16
"""Height of a line of the legend."""
_LETTER = 6.4
"""Width of a letter of the legend, about."""
_SWATCH = 20
_TICKS = 4

_STYLE = """\
path { fill: none; stroke-width: 1.4; stroke-linecap: round; stroke-linejoin: round }
text { fill: #24292f } .soft { fill: #656d76 } .card { fill: #ffffff }
.grid { stroke: #d8dee4 } .mark { stroke: #8c959f; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .soft { fill: #8d96a0 } .card { fill: #0d1117 }
.grid { stroke: #2b3138 } .mark { stroke: #6e7681 }
}"""

_UNITS: dict[str, Sequence[tuple[float, str]]] = {
    "s": ((1, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "Bps": ((1e6, " MB/s"), (1e3, " kB/s"), (1, " B/s")),
    "reqps": ((1, " req/s"),),
    "short": ((1, ""),),
}
"""Grafana's units: how much one is, and how it is written, from large to small."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel. Its points are in pieces; between them there was no value. Times are in seconds."""

    name: str
    pieces: Sequence[Points]

    @property
    def points(self) -> Points:
        """All of them."""
        return [point for piece in self.pieces for point in piece]


@dataclass(frozen=True, slots=True)
class Graph:
    """A panel with what was found for it. `unit` is one of Grafana's. Without series it says so."""

    title: str
    unit: str
    series: Sequence[Series]


def pieces(samples: Sequence[tuple[float, float]], step: float) -> list[Points]:
    """Samples that should come every `step` seconds, cut where they are missing or not a number."""
    found: list[Points] = []
    before = -math.inf
    for at, value in samples:
        if not math.isfinite(value):
            continue
        if at - before > 1.5 * step:
            found.append([])
        found[-1].append((at, value))
        before = at
    return found


def picture(title: str, graphs: Sequence[Graph], seconds: float, marks: Mapping[str, float], foot: str) -> str:
    """The graphs in their order, over so many seconds. `marks` are moments with a letter; `foot` is a last line."""
    parts: list[str] = []
    top = float(_HEAD)
    for number in range(0, len(graphs), 2):
        line = graphs[number : number + 2]
        for column, graph in enumerate(line):
            parts += _graph(graph, _MARGIN + column * _COLUMN + LEFT, top + _TITLE, seconds, marks)
        entries = max(len(_legend(graph)) for graph in line)
        top += _TITLE + HEIGHT + _BELOW + entries * _ENTRY + 10
    height = top + _FOOT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
            f'height="{height:g}" font-family="system-ui, sans-serif" font-size="11">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="card" width="{WIDTH}" height="{height:g}"/>',
            f'<text x="{_MARGIN}" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
            *parts,
            f'<text class="soft" x="{_MARGIN}" y="{height - 10:g}">{escape(foot)}</text>',
            "</svg>",
            "",
        ]
    )


def _graph(graph: Graph, left: float, top: float, seconds: float, marks: Mapping[str, float]) -> Iterator[str]:
    bottom = top + HEIGHT
    step, count = ticks(max((y for series in graph.series for _, y in series.points), default=0), _TICKS)

    def x(at: float) -> float:
        return left + at / seconds * PLOT

    def y(value: float) -> float:
        return bottom - value / (step * count) * HEIGHT

    place = f'x="{left - LEFT + 4:g}" y="{top - 18:g}"'
    yield f'<text {place} font-size="13" font-weight="600">{escape(graph.title)}</text>'
    factor, unit = _scale(graph.unit, step * count)
    for number in range(count + 1):
        height = y(number * step)
        yield f'<path class="grid" d="M{left:g} {height:.1f}h{PLOT}"/>'
        text = f"{number * step / factor:.10g}{unit}"
        yield f'<text class="soft" x="{left - 6:g}" y="{height + 4:.1f}" text-anchor="end">{text}</text>'
    minutes, shown = ticks(seconds / 60, 8)
    for number in range(shown + 1):
        if (minute := number * minutes) <= seconds / 60:
            unit = " min" if minute == 0 else ""
            place = f'x="{x(60 * minute):.1f}" y="{bottom + 15:g}" text-anchor="middle"'
            yield f'<text class="soft" {place}>{minute:g}{unit}</text>'
    for letter, at in marks.items():
        yield f'<path class="mark" d="M{x(at):.1f} {top:g}v{HEIGHT}"/>'
        yield f'<text class="soft" x="{x(at):.1f}" y="{top - 4:g}" text-anchor="middle">{escape(letter)}</text>'
    if not graph.series:
        yield f'<text class="soft" x="{left + PLOT / 2:g}" y="{top + HEIGHT / 2:g}" text-anchor="middle">No data</text>'
    for number, series in enumerate(graph.series):
        drawn = "".join(_path([(x(at), y(value)) for at, value in piece]) for piece in series.pieces)
        yield f'<path {_stroke(number)} d="{drawn}"/>'
    numbers = iter(range(len(graph.series)))
    for line, names in enumerate(_legend(graph)):
        at = left - LEFT + 4
        height = bottom + _BELOW + (line + 0.5) * _ENTRY
        for name in names:
            yield f'<path {_stroke(next(numbers))} d="M{at:.1f} {height - 4:g}h14"/>'
            yield f'<text x="{at + _SWATCH:.1f}" y="{height:g}">{escape(name)}</text>'
            at += _width(name)


def _legend(graph: Graph) -> list[list[str]]:
    """Names of the series by lines, as many as fit."""
    lines: list[list[str]] = []
    used = math.inf
    for series in graph.series:
        if used + _width(series.name) > _COLUMN:
            lines.append([])
            used = 0
        lines[-1].append(series.name)
        used += _width(series.name)
    return lines


def _width(name: str) -> float:
    return _SWATCH + _LETTER * len(name) + 10


def _stroke(number: int) -> str:
    """A colour for each of the first series; further ones are dashed."""
    dashes = ' stroke-dasharray="4 3"' if number >= len(COLOURS) else ""
    return f'stroke="{COLOURS[number % len(COLOURS)]}"{dashes}'


def _scale(unit: str, top: float) -> tuple[float, str]:
    """How much one of the shown units is, and what it is called, for an axis that ends at `top`."""
    scales = _UNITS[unit]
    return next((scale for scale in scales if top >= scale[0]), scales[-1])


def _path(places: Points) -> str:
    """Without places between two others of the same height. One place alone is a dot."""
    kept = [
        place
        for number, place in enumerate(places)
        if number in {0, len(places) - 1} or not places[number - 1][1] == place[1] == places[number + 1][1]
    ]
    (x, y), *rest = kept
    return f"M{x:.1f} {y:.1f}" + ("".join(f"L{x:.1f} {y:.1f}" for x, y in rest) or "h0")

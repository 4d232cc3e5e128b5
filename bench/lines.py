"""Panels of lines and dots as one SVG, one panel below the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

from bench.chart import COLOURS

LEFT = 64
PLOT = 700
HEIGHT = 190
TOP = 48
GAP = 84
WIDTH = LEFT + PLOT + 40


@dataclass(frozen=True, slots=True)
class Series:
    """Points by rising x. `step`: each value holds until the next. `labels` are written beside the points."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: Literal["line", "step", "dots"] = "line"
    labels: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. x begins at 0, y at `y_from`; no point may have less."""

    title: str
    x: str
    y: str
    series: Sequence[Series]
    y_from: float = 0


def figure(title: str, panels: Sequence[Panel]) -> str:
    """The panels below each other; each series of a panel has a colour of its own."""
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#24292f">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + 20 + number * (HEIGHT + GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: float) -> list[str]:
    points = [point for series in panel.series for point in series.points]
    x_step, x_ticks = ticks(max(x for x, _ in points))
    y_step, y_ticks = ticks(max(y for _, y in points) - panel.y_from)
    bottom = top + HEIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / (x_step * x_ticks) * PLOT, bottom - (y - panel.y_from) / (y_step * y_ticks) * HEIGHT

    parts = [f'<text x="16" y="{top - 12}" font-weight="600">{escape(panel.title)}</text>']
    for number in range(x_ticks + 1):
        x, _ = place(number * x_step, panel.y_from)
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#eaeef2"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number * x_step:g}</text>')
    for number in range(y_ticks + 1):
        value = panel.y_from + number * y_step
        _, y = place(0, value)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + PLOT}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    parts.append(f'<text x="{LEFT + PLOT}" y="{bottom + 34}" text-anchor="end">{escape(panel.x)}</text>')
    parts.append(f'<text x="{LEFT}" y="{bottom + 34}">{escape(panel.y)}</text>')
    for number, series in enumerate(panel.series):
        colour = COLOURS[(number * 3) % len(COLOURS)]
        x = LEFT + PLOT - 190 * (len(panel.series) - number)
        parts.append(f'<rect x="{x}" y="{top - 21}" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16}" y="{top - 12}">{escape(series.name)}</text>')
        parts += _drawn(series, [place(*point) for point in series.points], colour)
    return parts


def _drawn(series: Series, places: Sequence[tuple[float, float]], colour: str) -> list[str]:
    parts: list[str] = []
    if series.kind == "dots":
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
    else:
        parts.append(f'<path d="{_path(series.kind, places)}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    for (x, y), label in zip(places, series.labels, strict=False):
        parts.append(f'<text x="{x - 7:.1f}" y="{y - 6:.1f}" text-anchor="end" fill="{colour}">{escape(label)}</text>')
    return parts


def _path(kind: str, places: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = places
    path = [f"M{x:.1f} {y:.1f}"]
    for x, y in rest:
        path.append(f"H{x:.1f}V{y:.1f}" if kind == "step" else f"L{x:.1f} {y:.1f}")
    return "".join(path)


def ticks(span: float, most: int = 10) -> tuple[float, int]:
    """A round distance between ticks, and how many of them it takes to cover the span: `most` at most."""
    if span <= 0:
        return 1.0, 1
    power = 10.0 ** math.floor(math.log10(span))
    step = next(power * part for part in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0) if span / (power * part) <= most)
    return step, math.ceil(span / step)

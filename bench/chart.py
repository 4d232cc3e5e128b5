"""A chart of steps as SVG: one bar a row, one colour a step, seconds or another unit along the bottom."""

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape

COLOURS = ("#4e79a7", "#76b7b2", "#edc948", "#f28e2b", "#9c755f", "#b07aa1", "#59a14f", "#bab0ac")
LABELS = 190
PLOT = 560
ROW = 44
BAR = 26
TOP = 64
WIDTH = LABELS + PLOT + 70


def chart(title: str, rows: Mapping[str, Mapping[str, float]], steps: Mapping[str, str], unit: str = "s") -> str:
    """`rows` are seconds of each step by the row's name; `steps` the steps in order, with what they are."""
    longest = max(sum(row.values()) for row in rows.values())
    tick = 2 if longest <= 30 else 10 * math.ceil(longest / 150)
    end = math.ceil(longest / tick) * tick
    scale = PLOT / end
    colours = dict(zip(steps, COLOURS, strict=False))
    height = TOP + ROW * len(rows) + 46
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#24292f">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for number, (name, text) in enumerate(steps.items()):
        x = 16 + number * (WIDTH - 32) / len(steps)
        parts.append(f'<rect x="{x:.1f}" y="40" width="11" height="11" fill="{colours[name]}"/>')
        parts.append(f'<text x="{x + 16:.1f}" y="50">{escape(name)}<title>{escape(text)}</title></text>')
    bottom = TOP + ROW * len(rows)
    for number in range(0, end + 1, tick):
        x = LABELS + number * scale
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{number} {unit}</text>')
    for number, (name, row) in enumerate(rows.items()):
        parts += _row(name, row, TOP + ROW * number, scale, colours, unit)
    return "\n".join([*parts, "</svg>", ""])


def _row(
    name: str, row: Mapping[str, float], y: float, scale: float, colours: Mapping[str, str], unit: str
) -> list[str]:
    middle = y + ROW / 2 + 4
    parts = [f'<text x="{LABELS - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>']
    x = float(LABELS)
    for step, seconds in row.items():
        width = max(seconds, 0) * scale
        parts.append(
            f'<rect x="{x:.1f}" y="{y + (ROW - BAR) / 2}" width="{width:.1f}" height="{BAR}" fill="{colours[step]}">'
            f"<title>{escape(step)}: {seconds:.2f} {unit}</title></rect>"
        )
        x += width
    parts.append(f'<text x="{x + 8:.1f}" y="{middle}" font-weight="600">{sum(row.values()):.1f} {unit}</text>')
    return parts

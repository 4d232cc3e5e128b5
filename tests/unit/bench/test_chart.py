"""The chart as a reader's browser gets it."""

from xml.etree import ElementTree

import pytest

from bench.chart import BAR, COLOURS, chart
from bench.steps import STEPS

SVG = "{http://www.w3.org/2000/svg}"
ROWS = {
    "cold <start>": dict.fromkeys(STEPS, 1.0),
    "resume": dict.fromkeys(STEPS, 0.0) | {"imports": 3.5},
}


def elements(text: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter(f"{SVG}{name}"))  # noqa: S314 - the text is our own


def bars(text: str) -> list[ElementTree.Element]:
    return [bar for bar in elements(text, "rect") if bar.get("height") == str(BAR)]


def test_bars_are_as_long_as_their_steps() -> None:
    found = bars(chart("Starts", ROWS, STEPS))
    assert len(found) == 2 * len(STEPS)
    one = float(found[0].get("width", ""))
    widths = [float(bar.get("width", "")) for bar in found[len(STEPS) :]]
    assert one > 0
    assert widths == [pytest.approx(one * 3.5 if name == "imports" else 0) for name in STEPS]


def test_each_step_has_a_colour_of_its_own_and_its_seconds() -> None:
    found = bars(chart("Starts", ROWS, STEPS))[: len(STEPS)]
    assert len({bar.get("fill") for bar in found}) == len(STEPS) <= len(COLOURS)
    assert [bar.findtext(f"{SVG}title") for bar in found] == [f"{name}: 1.00 s" for name in STEPS]


def test_names_are_shown_as_they_are() -> None:
    texts = [text.text for text in elements(chart("A & B", ROWS, STEPS), "text")]
    assert {"A & B", "cold <start>", "resume", f"{len(STEPS)}.0 s", "3.5 s", *STEPS} <= set(texts)

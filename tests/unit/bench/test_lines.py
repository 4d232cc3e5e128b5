"""Panels as a reader's browser gets them."""

import re
from xml.etree import ElementTree

import pytest

from bench.lines import HEIGHT, LEFT, PLOT, Panel, Series, figure

SVG = "{http://www.w3.org/2000/svg}"


def elements(text: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter(f"{SVG}{name}"))  # noqa: S314 - the text is our own


def texts(text: str) -> list[str | None]:
    return [element.text for element in elements(text, "text")]


def panel(*series: Series, y_from: float = 0) -> Panel:
    return Panel("Title <1>", "x & y", "some", series, y_from)


def test_points_are_where_the_axes_say() -> None:
    [low, high] = elements(figure("", [panel(Series("a", [(0, 50), (100, 100)], "dots"), y_from=50)]), "circle")
    assert float(high.get("cx", "")) - float(low.get("cx", "")) == PLOT
    assert float(low.get("cx", "")) == LEFT
    assert float(low.get("cy", "")) - float(high.get("cy", "")) == HEIGHT


@pytest.mark.parametrize(
    ("series", "shape"),
    [
        (Series("a", [(0, 0), (1, 1), (2, 0)]), "MLL"),
        (Series("a", [(0, 0), (1, 1), (2, 0)], "step"), "MHVHV"),
    ],
)
def test_a_step_holds_its_value_until_the_next(series: Series, shape: str) -> None:
    [path] = elements(figure("", [panel(series)]), "path")
    assert re.sub("[^A-Z]", "", path.get("d", "")) == shape


@pytest.mark.parametrize(
    ("greatest", "ticks"),
    [(7, ["0", "1", "7"]), (0.03, ["0", "0.01", "0.03"]), (1234, ["0", "200", "1400"]), (0, ["0", "1"])],
)
def test_ticks_are_round_and_go_as_far_as_the_values(greatest: float, ticks: list[str]) -> None:
    shown = texts(figure("", [panel(Series("a", [(0, 0), (10, greatest)]))]))
    assert set(ticks) <= set(shown)


def test_series_have_colours_of_their_own_and_names_are_shown_as_they_are() -> None:
    text = figure("All & more", [panel(Series("a < b", [(1, 1)], "dots", ["here"]), Series("c", [(1, 1)], "dots"))])
    assert {"All & more", "Title <1>", "x & y", "some", "a < b", "c", "here"} <= set(texts(text))
    assert len({circle.get("fill") for circle in elements(text, "circle")}) == 2


def test_panels_stand_below_each_other() -> None:
    paths = elements(figure("", [panel(Series("a", [(0, 0), (1, 1)]))] * 2), "path")
    first, second = (float(re.findall(r"[\d.]+", path.get("d", ""))[1]) for path in paths)
    assert second - first > HEIGHT

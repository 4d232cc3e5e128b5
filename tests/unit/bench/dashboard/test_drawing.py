"""Pictures of the dashboard as a reader's browser gets them."""

import math
import re
from xml.etree import ElementTree

import pytest

from bench.chart import COLOURS
from bench.dashboard.drawing import HEIGHT, PLOT, Graph, Series, picture, pieces

SVG = "{http://www.w3.org/2000/svg}"


def elements(text: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter(f"{SVG}{name}"))  # noqa: S314 - the text is our own


def drawn(*graphs: Graph) -> str:
    return picture("Row <1>", graphs, 600, {"A": 0, "B": 300}, "the foot")


def texts(*graphs: Graph) -> list[str | None]:
    return [element.text for element in elements(drawn(*graphs), "text")]


def graph(*values: float, unit: str = "short", names: int = 1) -> Graph:
    points = [(number * 600 / max(len(values) - 1, 1), value) for number, value in enumerate(values)]
    return Graph("Panel & more", unit, [Series(f"series {number}", [points]) for number in range(names)])


def lines(text: str) -> list[ElementTree.Element]:
    """Those of the series, and their samples in the legend."""
    return [path for path in elements(text, "path") if path.get("stroke")]


def test_names_are_shown_as_they_are() -> None:
    assert {"Row <1>", "Panel & more", "series 0", "A", "B", "the foot", "0 min", "10"} <= set(texts(graph(1, 2)))


def test_points_are_where_the_axes_say() -> None:
    [line, _] = lines(drawn(graph(0, 4)))
    left, low, right, high = (float(number) for number in re.findall(r"[\d.]+", line.get("d", "")))
    assert (right - left, low - high) == (PLOT, HEIGHT)


@pytest.mark.parametrize(
    ("greatest", "unit", "shown"),
    [
        (8, "short", {"0", "2", "8"}),
        (0.004, "s", {"0 ms", "1 ms", "4 ms"}),
        (0.00004, "s", {"0 µs", "10 µs", "40 µs"}),
        (4, "s", {"0 s", "1 s", "4 s"}),
        (40_000, "Bps", {"0 kB/s", "10 kB/s", "40 kB/s"}),
        (0.4, "reqps", {"0 req/s", "0.1 req/s", "0.4 req/s"}),
        (0, "short", {"0", "1"}),
    ],
)
def test_an_axis_has_one_unit_that_suits_its_values(greatest: float, unit: str, shown: set[str]) -> None:
    assert shown <= set(texts(graph(0, greatest, unit=unit)))


def test_a_panel_without_series_says_so() -> None:
    assert "No data" in texts(Graph("Empty", "s", []))
    assert "No data" not in texts(graph(0, 0))


def test_samples_are_cut_where_some_are_missing_or_no_numbers() -> None:
    samples = [(0, 1.0), (5, 2.0), (10, math.nan), (15, 3.0), (30, 4.0)]
    assert pieces(samples, 5) == [[(0, 1.0), (5, 2.0)], [(15, 3.0)], [(30, 4.0)]]
    assert pieces([(0, math.nan)], 5) == []


def test_a_value_that_stays_the_same_is_one_stroke_and_a_single_one_a_dot() -> None:
    [flat, _] = lines(drawn(graph(*[1.0] * 100)))
    [single, _] = lines(drawn(graph(1.0)))
    assert [re.sub("[^A-Za-z]", "", path.get("d", "")) for path in (flat, single)] == ["ML", "Mh"]


def test_series_differ_by_colour_or_dashes_and_have_the_same_in_the_legend() -> None:
    names = len(COLOURS) + 2
    found = [(path.get("stroke"), path.get("stroke-dasharray")) for path in lines(drawn(graph(1, 2, names=names)))]
    assert len(set(found[:names])) == names
    assert found[:names] == found[names:]


def test_panels_stand_two_in_a_line_and_lines_do_not_overlap() -> None:
    places = [line.get("d", "") for line in lines(drawn(*[graph(0, 4)] * 3))][::2]
    (left, first), (right, beside), (below, second) = (
        [float(number) for number in re.findall(r"[\d.]+", path)[:2]] for path in places
    )
    assert (left, first) == (below, beside)
    assert right - left > PLOT
    assert second - first > HEIGHT

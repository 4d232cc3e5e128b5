"""What the pictures are made from."""

import re

import pytest

from bench.dashboard.__main__ import Record, file_name, legend, table
from bench.dashboard.churn import PHASES
from dashboard.panels import ROWS, Row
from local_cluster.paths import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "observability.md").read_text()


@pytest.mark.parametrize(
    ("text", "name"),
    [("{{launch}} {{result}}", "Cold Ready"), ("pods", "pods"), ("{{pool}} wanted", " wanted"), ("p50", "p50")],
)
def test_names_of_series_have_the_values_of_their_labels(text: str, name: str) -> None:
    assert legend(text, {"launch": "Cold", "result": "Ready"}) == name


def test_the_table_says_what_happens_when() -> None:
    begins = [1000 + 90 * number for number in range(len(PHASES))]
    rows = table(Record({}, begins, 2000)).rows
    assert [row[:2] for row in rows[:3]] == [["A", "0.0"], ["B", "1.5"], ["C", "3.0"]]
    assert [row[2] for row in rows] == [phase.what for phase in PHASES]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_the_documentation_shows_each_row_with_the_panels_that_it_has_now(row: Row) -> None:
    assert f"]({file_name(row.title)})" in PAGE
    shown = re.findall(r'font-weight="600">(.*?)</text>', (DOCS / file_name(row.title)).read_text())
    assert shown == [row.title, *(panel.title for panel in row.panels)]

"""The page of field reports names tests that exist, and leaves no report out."""

import re

import pytest

from local_cluster.paths import ROOT
from unit.docs.named_tests import assert_exists

PAGE = (ROOT / "docs" / "field-reports.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+)(?:\[[^`\]]*\])?)?`")
REPORTS = [f"F{number}" for number in range(1, 49) if number not in {24, 34}]
POINTS = [f"I.{n}" for n in range(1, 12)]


@pytest.mark.parametrize(("file", "name"), sorted(set(TEST.findall(PAGE))))
def test_every_test_exists(file: str, name: str) -> None:
    if name:
        assert_exists(file, name)
    else:
        assert (ROOT / file).exists()


def test_every_report_has_a_row() -> None:
    first_cells = {cell for line in PAGE.splitlines() for cell in line.split("|")[1:2]}
    named = {number for cell in first_cells for number in re.findall(r"[FI]\.?\d+", cell)}
    assert [number for number in (*REPORTS, *POINTS) if number not in named] == []

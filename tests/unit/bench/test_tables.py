"""Tables that a command writes into a page."""

from pathlib import Path

import pytest

from bench.tables import Grid, fill

GRID = Grid("Starts", ["", "starts/s"], [["bare | pods", "100"], ["ours", "60"]])
TABLE = "|  | starts/s |\n| --- | --- |\n| bare \\| pods | 100 |\n| ours | 60 |"


def test_markdown() -> None:
    assert GRID.markdown() == TABLE


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    after = "after\n<!-- claims -->\n<!-- end of claims -->\n"
    page.write_text(f"before\n<!-- starts -->\nold\n<!-- end of starts -->\n{after}")
    for _ in range(2):
        fill(page, "starts", GRID)
        written = f"before\n<!-- starts -->\n\n{TABLE}\n\n<!-- end of starts -->\n{after}"
        assert page.read_text() == written


@pytest.mark.parametrize("text", ["", "no marks\n", "<!-- starts -->\nnot closed\n", "<!-- end of starts -->\n"])
def test_a_page_without_marks_stays_as_it_is(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    fill(page, "starts", GRID)
    assert page.read_text() == text


def test_no_page_is_made(tmp_path: Path) -> None:
    fill(tmp_path / "page.md", "starts", GRID)
    assert not (tmp_path / "page.md").exists()

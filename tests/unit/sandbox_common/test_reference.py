"""The page of reasons is that of the table."""

from pathlib import Path

from sandbox_common.reference import page


def test_the_page_is_fresh() -> None:
    assert (Path(__file__).parents[3] / "docs" / "reasons.md").read_text() == page(), "stale: run `make generate`"

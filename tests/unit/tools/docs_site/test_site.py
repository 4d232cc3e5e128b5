"""What the site is made of, and what it refuses. Zensical itself checks pages and headings that are linked to."""

from pathlib import Path

import pytest

from docs_site.site import Broken, closure, loads_from_elsewhere, navigation, pages
from local_cluster.paths import ROOT


def test_every_link_of_the_repository_leads_to_a_file() -> None:
    assert Path("helm/openhands-sandbox/values.yaml") in closure(ROOT, pages())


def test_every_page_is_in_the_navigation() -> None:
    found = {file for file in closure(ROOT, pages()) if file.suffix == ".md"}
    assert set(navigation(ROOT)) == found


@pytest.mark.parametrize("link", ["none.md", "none.md#part", "../none.py", "sub", "none.svg"])
def test_a_link_that_leads_nowhere_is_named(link: str, tmp_path: Path) -> None:
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    (tmp_path / "docs" / "page.md").write_text(f"See [this]({link}).\n")
    with pytest.raises(Broken, match=rf"docs/page.md: {link.partition('#')[0]} is no file"):
        closure(tmp_path, [Path("docs/page.md")])


def test_links_are_followed_through_pages_only(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("[b](b.md#x) [far](https://example.com/none) [here](#x)")
    (tmp_path / "b.md").write_text("![c](c.txt)")
    (tmp_path / "c.txt").write_text("[none](none.md)")
    assert closure(tmp_path, [Path("a.md")]) == {Path("a.md"), Path("b.md"), Path("c.txt")}


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ("<script async src=//cdn.example/x.js></script>", True),
        ('<link rel="stylesheet" href="https://fonts.example/css">', True),
        ('<img alt="x" src="http://example.com/x.png">', True),
        ('<a href="https://example.com">x</a><script src="assets/x.js"></script>', False),
        ('<link rel="icon" href="assets/x.png">', False),
    ],
)
def test_what_a_browser_would_load_from_elsewhere(html: str, loads: bool) -> None:
    assert loads_from_elsewhere(html) is loads

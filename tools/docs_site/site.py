"""Builds the site with Zensical. Pages have the same paths as in the repository, so links work in both."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from local_cluster.paths import ROOT

BUILD = ROOT / "build" / "docs"
SITE = BUILD / "site"

_LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(?:#[^)\s]*)?\)")
_LOADED = re.compile(
    r"""<(?:script|img|iframe)\b[^>]*\bsrc=["']?(?:https?:)?//|<link\b[^>]*\bhref=["']?(?:https?:)?//"""
)


class Broken(SystemExit):
    """A broken link, or a page that loads something from elsewhere."""


def closure(root: Path, pages: Iterable[Path]) -> set[Path]:
    """These pages and all files that they link to, recursively. Paths are relative to the root."""
    found: set[Path] = set()
    missing: list[str] = []
    waiting = list(pages)
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        if page.suffix != ".md":
            continue
        for link in _LINK.findall((root / page).read_text()):
            target = Path(os.path.normpath(page.parent / link))
            if (root / target).is_file():
                waiting.append(target)
            else:
                missing.append(f"{page}: {link} is no file")
    if missing:
        raise Broken("\n".join(missing))
    return found


def pages(root: Path = ROOT) -> list[Path]:
    """The pages at the root and in docs, where the closure begins."""
    return [page.relative_to(root) for page in (*root.glob("*.md"), *root.glob("docs/*.md"))]


def navigation(root: Path = ROOT) -> list[Path]:
    """The pages in the site's menu."""
    sections = tomllib.loads((root / "docs" / "zensical.toml").read_text())["project"]["nav"]
    return [Path(page) for section in sections for entries in section.values() for e in entries for page in e.values()]


def loads_from_elsewhere(html: str) -> bool:
    """Whether a browser that shows this asks another host for something."""
    return _LOADED.search(html) is not None


def build() -> None:
    """Build the site."""
    _stage()
    _zensical("build", "--strict", "--clean")
    if loading := [str(page) for page in SITE.rglob("*.html") if loads_from_elsewhere(page.read_text())]:
        raise Broken("these pages load something from elsewhere: " + ", ".join(loading))
    print(f"The site is in {SITE.relative_to(ROOT)}")


def serve() -> None:
    """Serve the site until the process is interrupted."""
    _stage()
    _zensical("serve")


def _stage() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    for file in closure(ROOT, pages()):
        staged = BUILD / "pages" / file
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.symlink_to(ROOT / file)
    shutil.copy(ROOT / "docs" / "zensical.toml", BUILD)


def _zensical(*arguments: str) -> None:
    done = subprocess.run([str(Path(sys.executable).with_name("zensical")), *arguments], cwd=BUILD)
    if done.returncode:
        raise SystemExit(done.returncode)

"""docs/observability.md has the name of each metric as /metrics gives it, and no page has a name that is none."""

import importlib
import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from local_cluster.paths import ROOT

PAGES = [page for folder in ("docs", "helm") for page in (ROOT / folder).rglob("*.md")] + [ROOT / "README.md"]
TABLE = re.compile(r"^\| Of an? \w+, after `(openhands_sandbox_\w*)` .*\n((?:\|.*\n)+)", re.MULTILINE)
NAME = re.compile(r"`(\w+)(?:\{[\w,]+\})?`")
WHOLE_NAME = re.compile(r"`(openhands_sandbox_\w*[a-z])(?:\{[\w,]+\})?`")
TYPE = re.compile(r"^# TYPE (openhands_sandbox_\w+) (\w+)$", re.MULTILINE)
EXPORTERS = (
    *("sandbox_common.kube", "sandbox_gateway.gateway"),
    *("sandbox_operator.process.metrics", "sandbox_operator.pools.metrics"),
)


@pytest.fixture(scope="module")
def exported() -> set[str]:
    for module in EXPORTERS:
        importlib.import_module(module)
    names = {name for name, _ in TYPE.findall(generate_latest().decode())}
    return {name for name in names if not name.endswith("_created")}


def test_the_page_has_each_name_that_is_exported_and_no_other(exported: set[str]) -> None:
    tables: list[tuple[str, str]] = TABLE.findall((ROOT / "docs" / "observability.md").read_text())
    first_cells = [(prefix, row.split("|")[1]) for prefix, rows in tables for row in rows.splitlines()]
    assert {prefix + name for prefix, cell in first_cells for name in NAME.findall(cell)} == exported


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_name_in_any_page_is_exported(page: Path, exported: set[str]) -> None:
    assert set(WHOLE_NAME.findall(page.read_text())) <= exported

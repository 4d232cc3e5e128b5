"""The dashboard's file: fresh, in a form that Grafana takes, and about metrics that exist."""

import itertools
import json
import re
from typing import Any

import pytest

from dashboard.grafana import FILE, text
from local_cluster.paths import ROOT
from unit.docs.test_observability import exported_metrics


@pytest.fixture(scope="module")
def panels() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text())["panels"]


def test_the_file_is_fresh() -> None:
    assert FILE.read_text() == text(), "stale: run `make generate`"


def test_each_panel_has_an_id_and_a_place_of_its_own(panels: list[dict[str, Any]]) -> None:
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_each_query_has_a_name_and_labels_that_its_series_have(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        targets = panel.get("targets", [])
        assert bool(targets) is (panel["type"] != "row")
        assert len({target["refId"] for target in targets}) == len(targets)
        for target in targets:
            kept = re.findall(r"by \(([\w, ]*)\)", target["expr"])
            labels = {label for by in kept for label in by.split(", ")} - {"le"}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) == labels, target["expr"]


def test_the_queries_are_about_this_namespace_and_what_is_exported(panels: list[dict[str, Any]]) -> None:
    exported = set(exported_metrics())
    for expression in (target["expr"] for panel in panels for target in panel.get("targets", [])):
        names = re.findall(r"(openhands_sandbox_\w+)(\{[^}]*\})", expression)
        assert names
        assert all('namespace="$namespace"' in selector for _, selector in names)
        assert {re.sub(r"_(bucket|count)$", "", name) for name, _ in names} <= exported


def test_the_runbooks_name_panels_that_exist(panels: list[dict[str, Any]]) -> None:
    named = set(re.findall(r"panel \*([^*]+)\*", (ROOT / "docs" / "runbooks.md").read_text()))
    assert named
    assert named <= {panel["title"] for panel in panels}

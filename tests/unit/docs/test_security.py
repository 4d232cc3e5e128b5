"""The pages on security name tests that exist, and files that exist."""

import re
from typing import Any

import pytest
import yaml

from local_cluster.paths import ROOT
from unit.docs.named_tests import assert_exists

PAGE = (ROOT / "docs" / "security.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def rows() -> list[list[str]]:
    """Cells of each row of the tables: claim, test, figure or limit."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "Claim" and set(row[0]) != {"-"}]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:60])
def test_a_claim_names_tests_and_nothing_else(row: list[str]) -> None:
    claim, tests, _ = row
    assert claim
    assert TEST.search(tests)
    assert TEST.sub("", tests).replace(",", "").strip() == "", "only tests, with commas between"


@pytest.mark.parametrize(("file", "name"), sorted(set(TEST.findall(PAGE))))
def test_every_test_exists(file: str, name: str) -> None:
    assert_exists(file, name)


def test_there_are_claims_of_every_part() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    parts = {section.partition("\n")[0]: section.count("\n| ") - 1 for section in sections if "| Claim |" in section}
    assert list(parts) == [
        "API keys",
        "Limits per owner",
        "Images",
        "Pods",
        "Network",
        "RBAC",
        "No leak",
        "Isolation",
        "Console",
        "Abuse",
        "TLS, Ingress and Gateway API",
        "Supply chain",
    ]
    assert min(parts.values()) >= 1


def settings() -> set[str]:
    """Values of the chart that SECURITY.md sets or names."""
    text = (ROOT / "SECURITY.md").read_text()
    pairs = [pair for words in re.findall(r"--set (\S+)", text) for pair in words.split(",")]
    named = re.findall(r"`((?:gateway|networkPolicy|sandboxClasses)\.[\w.-]+)`", text)
    return {pair.partition("=")[0] for pair in pairs} | set(named)


@pytest.mark.parametrize("setting", sorted(settings()))
def test_the_chart_has_the_values_to_set(setting: str) -> None:
    found: Any = yaml.safe_load((ROOT / "helm" / "openhands-sandbox" / "values.yaml").read_text())
    for part in setting.split("."):
        assert part in found
        found = found[part]


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/security.md", "docs/threat-model.md"])
def test_links_lead_to_files(page: str) -> None:
    path = ROOT / page
    targets = [target for target in LINK.findall(path.read_text()) if "://" not in target]
    assert targets
    assert [target for target in targets if not (path.parent / target).exists()] == []

"""The project's version is in pyproject.toml. Helm and Python must both accept it."""

import re
import tomllib

import yaml
from packaging.version import Version

from local_cluster.paths import ROOT

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
_SEMVER = re.compile(r"(\d+\.\d+\.\d+)(-dev\.\d+)?")
"""The part of Semantic Versioning 2 that this project uses."""


def test_helm_and_python_read_it_alike() -> None:
    semantic = _SEMVER.fullmatch(VERSION)
    assert semantic
    read = Version(VERSION)
    assert (read.base_version, read.is_devrelease) == (semantic[1], semantic[2] is not None)


def test_the_chart_has_it() -> None:
    chart = yaml.safe_load((ROOT / "helm/openhands-sandbox/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION), "make generate"


def test_the_changelog_begins_with_what_comes_next_and_has_each_release() -> None:
    sections = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    released = [Version(name) for name, _ in sections[1:]]
    assert released == sorted(released, reverse=True)
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in sections[1:])
    ours = Version(VERSION)
    assert released[0] < ours if ours.is_devrelease else released[0] == ours

"""The release before this version, as the tests of upgrades use it: its chart, its processes, its image."""

import os
import tarfile
from pathlib import Path
from typing import Any

import yaml

from images.recipes import Recipe

_HERE = Path(__file__).parent
[CHART] = _HERE.glob("openhands-sandbox-*.tgz")
"""Its chart, as Helm takes it."""
[_SOURCE] = _HERE.glob("controller-image-*.tar.gz")
VERSION = CHART.name.removeprefix("openhands-sandbox-").removesuffix(".tgz")
_PACKAGES = ("crds", "common", "kubectl_plugin", "operator", "api_gateway")


def unpack(directory: Path) -> Recipe:
    """Unpack what its controller image is made from; gives the image's recipe."""
    with tarfile.open(_SOURCE) as archive:
        archive.extractall(directory, filter="data")
    return Recipe(f"localhost/openhands-sandbox-{VERSION}", directory)


def environment(directory: Path) -> dict[str, str]:
    """This process's environment, in which processes have the packages that are unpacked in `directory`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(directory / name) for name in _PACKAGES)}


def definitions() -> list[dict[str, Any]]:
    """Its CustomResourceDefinitions."""
    with tarfile.open(CHART) as archive:
        members = sorted((one for one in archive if "/crds/" in one.name), key=lambda one: one.name)
        return [yaml.safe_load(file) for file in map(archive.extractfile, members) if file]

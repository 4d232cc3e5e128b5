"""Helm itself, built if it is missing."""

import pytest

from local_cluster.build import binary, ensure
from local_cluster.progress import Progress
from unit.helm.rendering import Helm, Manifest


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    ensure(["helm"], Progress())
    return Helm(binary("helm"), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def defaults(helm: Helm) -> list[Manifest]:
    """The chart rendered with its default values."""
    return helm.render()

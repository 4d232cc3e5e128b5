"""A namespace with a class and a node."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from control_plane.leading.crew import Crew
from control_plane.pools.basin import Basin, Node
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient

type Start = Callable[..., AbstractAsyncContextManager[Crew]]


@pytest.fixture
async def basin(client: KubeClient, namespace: str) -> Basin:
    basin = Basin(client, namespace, "pool")
    await basin.add_class()
    return basin


@pytest.fixture
async def node(basin: Basin) -> AsyncIterator[Node]:
    """A node that runs all pods meanwhile."""
    node = Node(basin.client, basin.namespace)
    async with node.running_all():
        yield node


@pytest.fixture
def start(control_plane: ControlPlane, namespace: str, master_key_dir: Path, tmp_path: Path) -> Start:
    """Start so many operators of this test's namespace; further arguments are their flags."""

    def start(number: int, *flags: str) -> AbstractAsyncContextManager[Crew]:
        return Crew.aboard(control_plane, namespace, master_key_dir, tmp_path, number, *flags)

    return start

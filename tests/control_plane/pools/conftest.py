"""One running operator for the tests of a module; a pool of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from control_plane.cluster_scope import connected, fresh_namespace
from control_plane.operator.process import OperatorProcess
from control_plane.pools.basin import Basin, Node
from local_cluster.control_plane import ControlPlane


@pytest_asyncio.fixture(loop_scope="function")
async def basin(control_plane: ControlPlane, master_key_dir: Path, tmp_path: Path) -> AsyncIterator[Basin]:
    """A namespace of its own with the console script at work, and a pool name."""
    async with (
        connected(control_plane) as client,
        fresh_namespace(client) as namespace,
        OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, tmp_path / "log") as operator,
    ):
        basin = Basin(client, namespace, "pool")
        await basin.add_class()
        yield basin
        assert "ohs_v" not in operator.log
        assert '"level": "error"' not in operator.log


@pytest_asyncio.fixture(loop_scope="function")
async def node(basin: Basin) -> AsyncIterator[Node]:
    """A node that runs all pods meanwhile."""
    node = Node(basin.client, basin.namespace)
    async with node.running_all():
        yield node

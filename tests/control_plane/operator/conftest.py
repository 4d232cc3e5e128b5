"""One running operator for the tests of a module, since its start is what takes long; a Sandbox for each test."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from control_plane.audit import Audit
from control_plane.cluster_scope import connected, fresh_namespace
from control_plane.operator.agents import Agent
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.ledger import Ledger
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from local_cluster.control_plane import ControlPlane

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(
    control_plane: ControlPlane, master_key_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A namespace with the console script at work."""
    log = tmp_path_factory.mktemp("operator") / "log"
    async with (
        connected(control_plane) as client,
        fresh_namespace(client) as namespace,
        OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, log) as operator,
    ):
        world = World(client, namespace, "town")
        await world.add_class()
        await world.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
        yield world
        assert "ohs_v" not in operator.log
        assert '"level": "error"' not in operator.log


@pytest_asyncio.fixture(loop_scope="module")
async def world(town: World) -> AsyncIterator[World]:
    """The same, with a Sandbox name of this test's own."""
    world = World(town.client, town.namespace, f"sandbox-{next(_numbers)}")
    yield world
    await world.delete()


@pytest.fixture
def kubelet(world: World) -> Kubelet:
    return Kubelet(world.client, world.namespace)


@pytest.fixture
def ledger(audit: Audit, world: World) -> Ledger:
    return Ledger(audit, world)


@pytest_asyncio.fixture(loop_scope="module")
async def agent() -> AsyncIterator[Agent]:
    agent = Agent()
    async with agent.listening():
        yield agent

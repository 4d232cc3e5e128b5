"""Pools and the real scheduler: nodes that are full, and nodes that come."""

from pathlib import Path

import pytest

from control_plane.cluster_scope import connected, fresh_namespace, install_custom_resources
from control_plane.operator.process import OperatorProcess
from control_plane.pools.basin import Basin
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.simulated_nodes import SimulatedNodes, node
from sandbox_common.kube.resources import NODES
from sandbox_common.reasons import PoolReason
from sandbox_operator.pools.plan import MOST_UNPLACED

ROOM = 12
"""Pods that one node has room for."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def test_a_pool_larger_than_the_cluster_grows_with_it(master_key_dir: Path, log: Path) -> None:
    with ControlPlane(controller_manager=True, scheduler=True) as control_plane, SimulatedNodes(control_plane, "few"):
        async with connected(control_plane) as client, fresh_namespace(client) as namespace:
            await install_custom_resources(client)
            await client.create(NODES, "", node("first", "few", pods=ROOM))
            async with OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, log):
                basin = Basin(client, namespace, "pool")
                await basin.add_class(resources={"requests": {"cpu": "10m", "memory": "1Mi"}})
                await basin.add_pool(replicas=5000)
                pool = await basin.told(PoolReason.UNSCHEDULABLE, ready_replicas=ROOM)
                condition = pool.status.condition("Ready")
                assert condition
                assert "Too many pods" in condition.message
                assert "Add nodes" in condition.message
                assert len(await basin.free()) <= ROOM + MOST_UNPLACED
                # Who waits gets what is new, and more follow.
                await client.create(NODES, "", node("second", "few", pods=3 * ROOM))
                await basin.told(PoolReason.UNSCHEDULABLE, ready_replicas=4 * ROOM)
                await basin.edit_pool(replicas=2)
                await basin.told(PoolReason.FILLED, ready_replicas=2)

                async def small() -> bool:
                    return len(await basin.pods()) == 2

                await eventually(small)

"""Warm pods on a node that is cordoned: the last to be claimed, and replaced."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from control_plane.nodes.conftest import FRAIL, OWNER, STEADY, Town
from control_plane.pools.basin import Basin
from control_plane.waiting import eventually
from sandbox_crds.kube.resources import NODES, PODS
from sandbox_crds.reasons import PoolReason, Reason

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def basin(town: Town) -> AsyncIterator[Basin]:
    """A pool of the class `spread`, whose pods ask for a tenth of a node."""
    basin = Basin(town.client, town.namespace, "spread")
    on_frail = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [FRAIL]}]}
    affinity = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": on_frail}]}
    pod = {"affinity": {"nodeAffinity": affinity}}
    await basin.add_class("spread", pod=pod, resources={"requests": {"cpu": "200m"}})
    await basin.add_pool(className="spread", replicas=2)
    yield basin
    await town.client.patch(NODES, "", FRAIL, {"spec": {"unschedulable": None}})
    await basin.edit_pool(replicas=0)
    await basin.told(PoolReason.FILLED, replicas=0)


async def nodes(basin: Basin) -> list[str]:
    return sorted(pod["spec"].get("nodeName", "") for pod in await basin.free())


async def test_warm_pods_leave_a_cordoned_node_and_are_claimed_last(town: Town, basin: Basin) -> None:
    await basin.told(PoolReason.FILLED, ready_replicas=2)
    assert await nodes(basin) == [FRAIL, FRAIL]
    await town.client.patch(NODES, "", STEADY, {"spec": {"unschedulable": True}})
    try:
        await town.client.patch(NODES, "", FRAIL, {"spec": {"unschedulable": True}})
        pool = await basin.told(PoolReason.UNSCHEDULABLE)
        # Without room for new ones those that are there stay.
        assert pool.status.ready_replicas == 2
        assert (await nodes(basin)).count(FRAIL) == 2
    finally:
        await town.client.patch(NODES, "", STEADY, {"spec": {"unschedulable": None}})

    async def moved() -> bool:
        return await nodes(basin) == [STEADY, STEADY]

    await eventually(moved, timeout=30)
    await basin.told(PoolReason.FILLED, ready_replicas=2)
    sandbox = await basin.add(owner=OWNER, sessionID="warm", className="spread")
    ready = await basin.until(Reason.READY)
    assert ready.status.launch == "Warm"
    pod = await town.client.get(PODS, town.namespace, ready.status.pod_name)
    assert pod["spec"]["nodeName"] == STEADY
    assert sandbox.metadata.name == basin.name
    await basin.delete()

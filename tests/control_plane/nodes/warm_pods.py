"""Pools and nodes, played by test_lost_nodes.py: cordoned nodes, drains and devices."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from control_plane.nodes.conftest import FRAIL, OWNER, STEADY, Town
from control_plane.pools.basin import Basin
from control_plane.waiting import eventually
from sandbox_common.kube import ApiError, Resource
from sandbox_common.kube.resources import NODES, PODS
from sandbox_common.reasons import PoolReason, Reason


@asynccontextmanager
async def filled(town: Town) -> AsyncGenerator[Basin]:
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


async def leaves_a_cordoned_node(town: Town, basin: Basin) -> None:
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

    await eventually(moved)
    await basin.told(PoolReason.FILLED, ready_replicas=2)
    sandbox = await basin.add(owner=OWNER, sessionID="warm", className="spread")
    ready = await basin.until(Reason.READY)
    assert ready.status.launch == "Warm"
    pod = await town.client.get(PODS, town.namespace, ready.status.pod_name)
    assert pod["spec"]["nodeName"] == STEADY
    assert sandbox.metadata.name == basin.name
    await basin.delete()


async def drains_take_free_pods_and_with_the_charts_budget_no_sandbox(town: Town, basin: Basin) -> None:
    [budget] = [
        item
        for item in yaml.safe_load_all(_CHART.read_text())
        if item["kind"] == "PodDisruptionBudget" and item["metadata"]["name"].endswith("-sandboxes")
    ]
    made = await town.client.create(_BUDGETS, town.namespace, {"metadata": {"name": "b"}, "spec": budget["spec"]})
    await basin.told(PoolReason.FILLED, ready_replicas=2)
    await basin.add("drained", className="spread")
    pod = (await basin.until(Reason.READY, "drained")).status.pod_name

    async def counted() -> bool:
        found = await town.client.get(_BUDGETS, town.namespace, made["metadata"]["name"])
        return found.get("status", {}).get("currentHealthy") == 1

    await eventually(counted)
    with pytest.raises(ApiError) as refused:
        await evict(town, pod)
    assert refused.value.code == 429
    [free, *_] = await basin.free()
    await evict(town, free["metadata"]["name"])
    # Suspended, it is in nobody's way.
    await basin.suspend(True, "drained")
    await basin.until(Reason.SUSPENDED, "drained")
    await basin.delete("drained")
    await town.client.delete(_BUDGETS, town.namespace, made["metadata"]["name"])


async def evict(town: Town, pod: str) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    await town.client.create(Resource("", "v1", f"pods/{pod}/eviction", "Eviction"), town.namespace, eviction)


_CHART = Path(__file__).parents[2] / "unit" / "helm" / "golden" / "everything.yaml"
_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
DEVICE = "example.com/device"
_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")


async def devices_are_given_and_not_multiplied(town: Town, _: Basin) -> None:
    basin = Basin(town.client, town.namespace, "device")
    room = {"status": {"capacity": {DEVICE: "4"}, "allocatable": {DEVICE: "4"}}}
    await town.client.patch(NODES, "", STEADY, room, subresource="status")
    quota = {"metadata": {"name": "devices"}, "spec": {"hard": {f"requests.{DEVICE}": "2"}}}
    await town.client.create(_QUOTAS, town.namespace, quota)

    async def counted() -> bool:
        found = await town.client.get(_QUOTAS, town.namespace, "devices")
        return f"requests.{DEVICE}" in found.get("status", {}).get("used", {})

    await eventually(counted)
    resources = {"requests": {"cpu": "50m"}, "limits": {DEVICE: "1"}}
    await basin.add_class("device", resources=resources)
    await basin.add_pool(className="device", replicas=1)
    await basin.told(PoolReason.FILLED, ready_replicas=1)
    # Other CPU, so that no warm pod fits; one device all the same.
    large = await basin.add("large", className="device", resourceFactor=4)
    await basin.until(Reason.READY, "large")
    pod = await basin.pod(large)
    assert pod["spec"]["nodeName"] == STEADY
    given = pod["spec"]["containers"][0]["resources"]
    assert given == {"requests": {"cpu": "200m", DEVICE: "1"}, "limits": {DEVICE: "1"}}
    await basin.add("warm", className="device")
    assert (await basin.until(Reason.READY, "warm")).status.launch == "Warm"
    # The pool's next pod is beyond the quota, and so is another sandbox.
    await basin.told(PoolReason.QUOTA_EXCEEDED)
    await basin.add("more", className="device", resourceFactor=2)
    refused = await basin.until(Reason.QUOTA_EXCEEDED, "more")
    condition = refused.status.condition("Ready")
    assert condition
    assert DEVICE in condition.message


SCENARIOS = (
    leaves_a_cordoned_node,
    drains_take_free_pods_and_with_the_charts_budget_no_sandbox,
    devices_are_given_and_not_multiplied,
)

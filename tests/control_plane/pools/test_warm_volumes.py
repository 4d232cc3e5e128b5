"""What becomes of the volumes of warm pods, and of sandboxes that take them over."""

import asyncio
from typing import Any

import pytest

from control_plane.audit import Audit, kinds
from control_plane.pools.basin import NO_STORAGE, Basin, Node
from control_plane.waiting import eventually
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import PODS, SANDBOX_POOLS, VOLUME_CLAIMS
from sandbox_common.reasons import PoolReason, Reason
from sandbox_crds.api import MANAGED_BY_LABEL, MANAGER, SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_operator.app import USER_AGENT
from sandbox_operator.pools.plan import BATCH
from sandbox_operator.watching.pods import controller_uid, decode

KEPT = "kept"
WORKSPACE: dict[str, Any] = {"persistent": True, "size": "1Gi"}


async def fill(basin: Basin, replicas: int, name: str = "", class_name: str = KEPT) -> set[str]:
    """A full pool of a class with volumes; gives the names of its pods."""
    if class_name == KEPT:
        await basin.add_class(KEPT, workspace=WORKSPACE)
    await basin.add_pool(name, className=class_name, replicas=replicas)
    await basin.told(PoolReason.FILLED, name, ready_replicas=replicas)
    return names(await basin.free(name))


def names(objects: list[KubeObject]) -> set[str]:
    return {item["metadata"]["name"] for item in objects}


async def without_volumes(basin: Basin) -> None:
    """Return once no volume is the pool's."""

    async def look() -> bool:
        return not await basin.volumes()

    await eventually(look)


async def a_volume_each(basin: Basin, pods: int, but: set[str] | None = None) -> set[str]:
    """Return once the pool has so many free pods, others than these, and only their volumes; gives their names."""

    async def look() -> set[str] | None:
        free = names(await basin.free())
        same = len(free) == pods and not free & (but or set()) and await basin.volumes() == free
        return free if same else None

    return await eventually(look)


async def start(basin: Basin, name: str = "one") -> Sandbox:
    await basin.add(name, className=KEPT)
    return await basin.until(Reason.READY, name)


async def volume(basin: Basin, name: str) -> KubeObject:
    return await basin.client.get(VOLUME_CLAIMS, basin.namespace, name)


async def test_a_refill_costs_three_writes(basin: Basin, node: Node, audit: Audit) -> None:
    pods = await fill(basin, 2)
    writes = kinds(await audit.writes(basin.client, basin.namespace, USER_AGENT))
    made = [what for what in writes if what.startswith("create") and "lease" not in what]
    assert made == ["create persistentvolumeclaims"] * 2 + ["create pods"] * 2 + ["create secrets"] * 2
    assert await basin.volumes() == pods
    for pod in map(decode, await basin.free()):
        claim = await volume(basin, pod.volume_claim)
        assert (pod.volume_claim, controller_uid(claim)) == (pod.name, pod.uid)
        assert claim["spec"]["resources"]["requests"] == {"storage": "1Gi"}


async def test_a_hit_takes_over_the_volume_for_good(basin: Basin, node: Node) -> None:
    [warm] = await fill(basin, 1)
    first = await start(basin)
    status = first.status
    assert (status.launch, status.pod_name, status.volume_claim, status.workspace_kept) == ("Warm", warm, warm, True)
    claim = await volume(basin, warm)
    uid, labels = claim["metadata"]["uid"], claim["metadata"]["labels"]
    assert controller_uid(claim) == first.metadata.uid
    assert labels == {SANDBOX_LABEL: "one", MANAGED_BY_LABEL: MANAGER}

    await basin.suspend(True, "one")
    await basin.until(Reason.SUSPENDED, "one")
    await basin.gone(PODS, warm)
    await basin.suspend(False, "one")
    resumed = await basin.until(Reason.READY, "one")
    assert (resumed.status.launch, resumed.status.volume_claim) == ("Resume", warm)
    pod = decode(await basin.pod(resumed))
    assert (pod.volume_claim, (await volume(basin, warm))["metadata"]["uid"]) == (warm, uid)
    assert resumed.status.last_loss is None

    await basin.client.delete(PODS, basin.namespace, pod.name)
    again = await basin.until(Reason.READY, "one", keep=lambda it: it.status.pod_uid != pod.uid)
    assert decode(await basin.pod(again)).volume_claim == warm
    assert again.status.last_loss
    assert again.status.last_loss.workspace == "Kept"

    await basin.delete("one")
    await basin.gone(VOLUME_CLAIMS, warm)


async def test_only_unclaimed_volumes_go_with_what_shrinks_rolls_or_is_deleted(basin: Basin, node: Node) -> None:
    await fill(basin, 3)
    warm = (await start(basin)).status.volume_claim
    await basin.told(PoolReason.FILLED, ready_replicas=3, claimed_pods=1)

    await basin.edit_pool(replicas=1)
    before = await a_volume_each(basin, 1)

    await basin.edit_class(KEPT, workspace={"size": "2Gi"})
    [name] = await a_volume_each(basin, 1, but=before)
    assert (await volume(basin, name))["spec"]["resources"]["requests"] == {"storage": "2Gi"}

    await basin.edit_class(KEPT, workspace={"persistent": False})
    await without_volumes(basin)
    await basin.edit_class(KEPT, workspace={"persistent": True})
    await a_volume_each(basin, 1)

    await basin.edit_pool(replicas=0)
    await without_volumes(basin)

    await basin.edit_pool(replicas=2)
    await a_volume_each(basin, 2)
    await basin.client.delete(SANDBOX_POOLS, basin.namespace, "pool")
    await without_volumes(basin)
    # The sandbox has kept its volume all the time.
    claim = await volume(basin, warm)
    assert "deletionTimestamp" not in claim["metadata"]
    assert controller_uid(claim) == (await basin.sandbox("one")).metadata.uid


async def test_without_its_storage_class_a_pool_waits_and_disturbs_nobody(basin: Basin, node: Node) -> None:
    await basin.add_class("lost", workspace={**WORKSPACE, "storageClassName": NO_STORAGE})
    await basin.add_pool("lost", className="lost", replicas=20)
    pool = await basin.told(PoolReason.VOLUME_NOT_BOUND, "lost", ready_replicas=0)
    condition = pool.status.condition("Ready")
    assert condition
    assert f'storageclass.storage.k8s.io "{NO_STORAGE}" not found' in condition.message
    assert "kubectl describe pvc" in condition.message
    # None of them has ever been ready.
    assert len(await basin.free("lost")) <= BATCH
    [warm] = await fill(basin, 1)
    assert (await start(basin)).status.volume_claim == warm
    await basin.add("cold")
    assert (await basin.until(Reason.READY, "cold")).status.launch == "Cold"
    await basin.edit_class("lost", workspace={"storageClassName": "of-the-test"})
    await basin.client.patch(SANDBOX_POOLS, basin.namespace, "lost", {"spec": {"replicas": 2}})
    await basin.told(PoolReason.FILLED, "lost", ready_replicas=2, replicas=2)
    assert await basin.volumes("lost") == names(await basin.free("lost"))


async def test_sandboxes_that_race_get_different_volumes(basin: Basin, node: Node) -> None:
    warm = await fill(basin, 2)
    racers = [f"racer-{number}" for number in range(8)]
    sandboxes = await asyncio.gather(*(start(basin, name) for name in racers))
    pods = [await basin.client.get(PODS, basin.namespace, it.status.pod_name) for it in sandboxes]
    claims = [decode(pod).volume_claim for pod in pods]
    assert len(set(claims)) == len(racers)
    assert warm <= set(claims)
    for sandbox, claim in zip(sandboxes, claims, strict=True):
        assert controller_uid(await volume(basin, claim)) == sandbox.metadata.uid


@pytest.mark.parametrize("fate", ["deleted", "another owner"])
async def test_without_its_volume_a_warm_pod_is_lost(basin: Basin, node: Node, fate: str) -> None:
    [warm] = await fill(basin, 1)
    if fate == "deleted":
        # It stays until its pod has ended.
        await basin.client.delete(VOLUME_CLAIMS, basin.namespace, warm)
    else:
        uid = (await basin.pool()).metadata.uid
        owner = {"apiVersion": SANDBOX_POOLS.api_version, "kind": "SandboxPool", "name": "pool", "uid": uid}
        body = {"metadata": {"ownerReferences": [owner | {"controller": True}]}}
        await basin.client.patch(VOLUME_CLAIMS, basin.namespace, warm, body)
    sandbox = await start(basin)
    status = sandbox.status
    assert (status.launch, status.volume_claim, status.last_loss) == ("Cold", status.pod_name, None)
    assert status.pool_miss.startswith(f"VolumeFailed: PersistentVolumeClaim {warm} ")
    await basin.gone(PODS, warm)
    pod = decode(await basin.pod(sandbox))
    assert pod.volume_claim == pod.name == status.pod_name
    assert controller_uid(await volume(basin, pod.name)) == sandbox.metadata.uid

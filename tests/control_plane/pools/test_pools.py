"""What becomes of pools and their pods."""

import asyncio
import subprocess
from typing import Any

import pytest

from control_plane.audit import Audit, kinds
from control_plane.operator.world import IMAGE
from control_plane.pools.basin import BAD_IMAGE, Basin, Node
from control_plane.waiting import eventually
from local_cluster.build import binary
from local_cluster.control_plane import ControlPlane
from local_cluster.kubectl import environment
from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOX_POOLS, SECRETS
from sandbox_common.reasons import PoolReason
from sandbox_operator.app import USER_AGENT
from sandbox_operator.pools.plan import BATCH, MOST_UNPLACED
from sandbox_operator.pools.reconciler import STATUS_SECONDS
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION


def uids(objects: list[KubeObject]) -> set[str]:
    return {item["metadata"]["uid"] for item in objects}


def images(pods: list[KubeObject]) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in pods}


async def test_a_pool_is_filled_and_then_nothing_is_written(basin: Basin, node: Node, audit: Audit) -> None:
    await basin.add_pool(replicas=6)
    pool = await basin.told(PoolReason.FILLED)
    status = pool.status
    assert (status.desired_replicas, status.replicas, status.ready_replicas) == (6, 6, 6)
    assert (status.starting_replicas, status.failing_replicas, status.claimed_pods) == (0, 0, 0)
    pods, secrets = await basin.free(), await basin.secrets()
    assert len(pods) == 6
    assert {pod["metadata"]["name"] for pod in pods} == {secret["metadata"]["name"] for secret in secrets}
    keys = {secret["metadata"]["annotations"][KEY_ID_ANNOTATION] for secret in secrets}
    assert {pod["metadata"]["annotations"][KEY_ID_ANNOTATION] for pod in pods} == keys
    assert len(keys) == 6
    writes = kinds(await audit.writes(basin.client, basin.namespace, USER_AGENT))
    of_pool = [what for what in writes if "lease" not in what]
    assert of_pool[:12] == ["create pods"] * 6 + ["create secrets"] * 6
    assert set(of_pool[12:]) == {"patch sandboxpools/status"}
    assert len(of_pool) <= 12 + 3
    await asyncio.sleep(STATUS_SECONDS + 1)
    again = kinds(await audit.writes(basin.client, basin.namespace, USER_AGENT))
    assert [what for what in again if "lease" not in what] == of_pool


async def test_a_claimed_pod_is_replaced_and_stays_as_it_is(basin: Basin, node: Node, audit: Audit) -> None:
    await basin.add_pool(replicas=2)
    await basin.told(PoolReason.FILLED)
    before = await audit.writes(basin.client, basin.namespace, USER_AGENT)
    [claimed, other] = await basin.free()
    await basin.claim(claimed)
    await basin.told(PoolReason.FILLED, claimed_pods=1, ready_replicas=2)
    assert uids([other]) < uids(await basin.free())
    assert uids([claimed]) < uids(await basin.pods())
    after = await audit.writes(basin.client, basin.namespace, USER_AGENT)
    new = [what for what in kinds(after[len(before) :]) if "lease" not in what]
    assert new == ["create pods", "create secrets", "patch sandboxpools/status"]


async def test_kubectl_scales_a_pool(basin: Basin, node: Node, control_plane: ControlPlane) -> None:
    async def scale(replicas: int) -> str:
        command = [binary("kubectl"), "--namespace", basin.namespace, "scale", "sandboxpool/pool"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, f"--replicas={replicas}"],
            capture_output=True,
            text=True,
            env=environment(control_plane.kubeconfig, "127.0.0.1"),
        )
        return done.stdout + done.stderr

    await basin.add_pool(replicas=1)
    await basin.told(PoolReason.FILLED)
    assert "scaled" in await scale(7)
    await basin.told(PoolReason.FILLED, ready_replicas=7)
    [claimed, *_] = await basin.free()
    await basin.claim(claimed)
    assert "scaled" in await scale(0)
    await basin.told(PoolReason.FILLED, desired_replicas=0, replicas=0, claimed_pods=1)
    assert uids(await basin.pods()) == uids([claimed])
    assert "scaled" in await scale(2)
    await basin.told(PoolReason.FILLED, ready_replicas=2)
    scale_of_pool = await basin.client.get(SANDBOX_POOLS, basin.namespace, "pool/scale")
    assert (scale_of_pool["spec"]["replicas"], scale_of_pool["status"]["replicas"]) == (2, 2)
    chosen = await basin.client.list(PODS, basin.namespace, labelSelector=scale_of_pool["status"]["selector"])
    assert uids(chosen["items"]) == uids(await basin.free())


async def test_a_changed_pool_rolls_its_free_pods_alone(basin: Basin, node: Node) -> None:
    await basin.add_pool(replicas=6)
    await basin.told(PoolReason.FILLED)
    [claimed, *old] = await basin.free()
    await basin.claim(claimed)
    counts: list[int] = []
    await basin.edit_pool(image="registry.example/agent-server:2")

    async def rolled() -> bool:
        free = await basin.free()
        counts.append(len(free))
        return images(free) == {"registry.example/agent-server:2"} and len(free) == 6

    await eventually(rolled)
    # Some were always there to be claimed: the new ones come first, and few at a time.
    assert min(counts) >= 5
    assert max(counts) <= 6 + BATCH
    await basin.told(PoolReason.FILLED, ready_replicas=6, claimed_pods=1)
    assert not uids(old) & uids(await basin.free())
    assert uids([claimed]) < uids(await basin.pods())


async def test_a_changed_class_rolls_its_pools(basin: Basin, node: Node) -> None:
    await basin.add_class("other")
    await basin.add_pool(replicas=2)
    await basin.add_pool("bystander", replicas=2, className="other")
    await basin.told(PoolReason.FILLED)
    await basin.told(PoolReason.FILLED, "bystander")
    old, untouched = await basin.free(), await basin.free("bystander")
    await basin.edit_class("default", terminationGracePeriodSeconds=7)

    async def rolled() -> bool:
        free = await basin.free()
        return len(free) == 2 and not uids(old) & uids(free)

    await eventually(rolled)
    assert {pod["spec"]["terminationGracePeriodSeconds"] for pod in await basin.free()} == {7}
    assert uids(await basin.free("bystander")) == uids(untouched)


async def test_an_image_that_cannot_be_pulled_is_told_and_disturbs_no_other_pool(basin: Basin, node: Node) -> None:
    await basin.add_pool("bad", image=BAD_IMAGE, replicas=50)
    bad = await basin.told(PoolReason.PODS_FAILING, "bad")
    condition = bad.status.condition("Ready")
    assert condition
    assert "ImagePullBackOff" in condition.message
    assert BAD_IMAGE in condition.message
    assert "Remedy: " in condition.message
    await basin.add_pool("good", replicas=3)
    await basin.told(PoolReason.FILLED, "good")
    # None of them has ever been ready, so no more are made than it takes to see it.
    assert len(await basin.free("bad")) <= BATCH
    await basin.client.patch(SANDBOX_POOLS, basin.namespace, "bad", {"spec": {"image": IMAGE, "replicas": 5}})
    await basin.told(PoolReason.FILLED, "bad", ready_replicas=5, failing_replicas=0)


async def test_a_pool_of_a_missing_class_waits_for_it(basin: Basin, node: Node) -> None:
    await basin.add_pool(className="later", replicas=2)
    pool = await basin.told(PoolReason.SANDBOX_CLASS_NOT_FOUND)
    condition = pool.status.condition("Ready")
    assert condition
    assert "SandboxClass later" in condition.message
    assert not await basin.pods()
    await basin.add_class("later")
    await basin.told(PoolReason.FILLED, ready_replicas=2)


async def test_pods_that_admission_refuses_are_told_and_disturb_no_other_pool(basin: Basin, node: Node) -> None:
    await basin.add_class("lax", pod={"allowPrivilegeEscalation": True})
    await basin.add_pool(className="lax", replicas=3)
    pool = await basin.told(PoolReason.POD_REFUSED)
    condition = pool.status.condition("Ready")
    assert condition
    assert "restricted" in condition.message
    assert "allowPrivilegeEscalation" in condition.message
    await basin.add_pool("good", replicas=1)
    await basin.told(PoolReason.FILLED, "good")
    await basin.edit_class("lax", pod={"allowPrivilegeEscalation": False})
    await basin.told(PoolReason.FILLED, ready_replicas=3)


async def test_an_environment_that_no_secret_can_hold_is_told(basin: Basin, node: Node) -> None:
    await basin.add_pool(environment={"NO/SUCH NAME": "value"})
    pool = await basin.told(PoolReason.POD_REFUSED)
    condition = pool.status.condition("Ready")
    assert condition
    assert "NO/SUCH NAME" in condition.message


async def test_a_quota_leaves_a_part_of_the_pool(basin: Basin, node: Node) -> None:
    quotas = Resource("", "v1", "resourcequotas", "ResourceQuota")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "2"}}}
    await basin.client.create(quotas, basin.namespace, quota)

    async def counted() -> bool:
        return "hard" in (await basin.client.get(quotas, basin.namespace, "few")).get("status", {})

    await eventually(counted)
    await basin.add_pool(replicas=4)
    pool = await basin.told(PoolReason.QUOTA_EXCEEDED, ready_replicas=2)
    condition = pool.status.condition("Ready")
    assert condition
    assert "exceeded quota: few" in condition.message
    await basin.client.patch(quotas, basin.namespace, "few", {"spec": {"hard": {"pods": "20"}}})
    await basin.told(PoolReason.FILLED, ready_replicas=4)


async def test_a_pool_larger_than_the_cluster_leaves_the_rest_unmade(basin: Basin, node: Node) -> None:
    node.room = 5
    await basin.add_pool(replicas=1000)
    pool = await basin.told(PoolReason.UNSCHEDULABLE, ready_replicas=5)
    condition = pool.status.condition("Ready")
    assert condition
    assert "Too many pods" in condition.message
    assert len(await basin.free()) <= 5 + MOST_UNPLACED
    node.room = 1000
    await basin.edit_pool(replicas=12)
    await basin.told(PoolReason.FILLED, ready_replicas=12)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"replicas": 1_000_000_000}, "spec.replicas"),
        ({"autoscaling": {"minReplicas": 5, "maxReplicas": 2}}, "minReplicas is more than maxReplicas"),
        ({"autoscaling": {"maxReplicas": -1}}, "maxReplicas"),
        ({"autoscaling": {"maxReplicas": 2, "targetHitRate": 101}}, "targetHitRate"),
        ({"image": ""}, "spec.image"),
        ({"environment": {"A": 1}}, "spec.environment"),
    ],
)
async def test_absurd_pools_are_refused(spec: dict[str, Any], words: str, client: KubeClient, namespace: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await Basin(client, namespace, "pool").add_pool(**spec)
    assert refusal.value.code == 422
    assert words in refusal.value.message


@pytest.mark.parametrize("name", ["p" * 51, "with.dot", "0digit"])
async def test_a_name_that_no_pod_could_begin_with_is_refused(name: str, client: KubeClient, namespace: str) -> None:
    with pytest.raises(ApiError) as refusal:
        await Basin(client, namespace, name).add_pool()
    assert refusal.value.code == 422
    assert "DNS label of at most 50 characters" in refusal.value.message


async def test_scaling_to_an_absurd_size_is_refused(basin: Basin, node: Node) -> None:
    await basin.add_pool(replicas=1)
    with pytest.raises(ApiError) as refusal:
        await basin.client.patch(
            SANDBOX_POOLS, basin.namespace, "pool", {"spec": {"replicas": -3}}, subresource="scale"
        )
    assert refusal.value.code == 422
    await basin.told(PoolReason.FILLED, ready_replicas=1)


async def test_with_a_pool_its_free_pods_and_their_secrets_go(basin: Basin, node: Node) -> None:
    await basin.add_pool(replicas=3)
    await basin.told(PoolReason.FILLED)
    [claimed, *_] = await basin.free()
    await basin.claim(claimed)
    await basin.told(PoolReason.FILLED, claimed_pods=1, ready_replicas=3)
    await basin.client.delete(SANDBOX_POOLS, basin.namespace, "pool")

    async def alone() -> bool:
        return uids(await basin.pods()) == uids([claimed]) and len(await basin.secrets()) == 1

    await eventually(alone)
    await basin.client.get(SECRETS, basin.namespace, claimed["metadata"]["name"])
    # A new pool of the same name has pods of its own.
    await basin.add_pool(replicas=1)
    await basin.told(PoolReason.FILLED, ready_replicas=1)
    assert uids([claimed]) < uids(await basin.pods())

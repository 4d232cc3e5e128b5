"""How often the pool controller asks, and for what."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import ApiError
from sandbox_common.reasons import PoolReason, Reason
from sandbox_operator.pools.memory import BREATH, LONGEST_WAIT, LOOK_INTERVAL, LULL
from sandbox_operator.pools.plan import BATCH
from sandbox_operator.pools.reconciler import STATUS_SECONDS
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.pools.cluster import POOL, Cluster
from unit.sandbox_operator.samples import NOW, condition

type Fate = Callable[[Cluster, Pod], None]


def lives(cluster: Cluster, pod: Pod) -> None:
    if not pod.is_ready:
        cluster.become_ready(pod.name)


def lives_slowly(cluster: Cluster, pod: Pod) -> None:
    if cluster.now >= pod.created + timedelta(seconds=5):
        lives(cluster, pod)


def fails(cluster: Cluster, pod: Pod) -> None:
    if pod.container is None:
        cluster.fail(pod.name)


def rejected(cluster: Cluster, pod: Pod) -> None:
    if not pod.is_finished:
        cluster.change(pod.name, phase="Failed", reason="OutOfcpu")


async def step(cluster: Cluster, fate: Fate = lives, seconds: float = 1.0) -> None:
    """Let the pods be as they will, and the operator do what it wants."""
    for _ in range(100):
        cluster.deliver(1000)
        before = len(cluster.writes)
        await cluster.reconciler.reconcile(POOL)
        if len(cluster.writes) == before:
            break
    for pod in list(cluster.pods.values()):
        if pod.deletion_requested:
            cluster.vanish(pod.name)
        elif pod.is_free:
            fate(cluster, pod)
    cluster.deliver(1000)
    cluster.advance(seconds)


async def run(cluster: Cluster, fate: Fate, seconds: int) -> None:
    for _ in range(seconds):
        await step(cluster, fate)


async def test_to_fill_a_pool_costs_two_writes_a_pod_and_few_for_the_status() -> None:
    cluster = Cluster(50)
    await run(cluster, lives, 10)
    assert cluster.writes.count("create pod") == cluster.writes.count("create secret") == 50
    assert cluster.writes.count("patch status") <= 3
    assert cluster.pool.status.conditions[0].reason == PoolReason.FILLED
    cluster.writes.clear()
    await run(cluster, lives, 20)
    assert cluster.writes == []


@pytest.mark.parametrize("fate", [fails, rejected])
async def test_pods_that_always_fail_are_tried_ever_more_seldom(fate: Fate) -> None:
    cluster = Cluster(50)
    await run(cluster, fate, 60)
    # The first four, and then one after 10, 20 and 40 s.
    assert cluster.writes.count("create pod") <= BATCH + 3
    await run(cluster, fate, 3600)
    creates = cluster.writes.count("create pod")
    assert BATCH + 10 <= creates <= BATCH + 6 + 3600 // 300
    assert cluster.pool.status.conditions[0].reason == PoolReason.PODS_FAILING
    # Counts move with each try, and no faster.
    assert cluster.writes.count("patch status") <= 3 * creates
    await run(cluster, lives, 400)
    assert len(cluster.live) == 50
    assert all(pod.is_ready for pod in cluster.live)


async def test_what_is_refused_is_asked_for_ever_more_seldom() -> None:
    cluster = Cluster(50)
    cluster.refusal = Refusal(Reason.POD_REFUSED, "no")
    await run(cluster, lives, 3600)
    assert 60 <= cluster.writes.count("create pod") <= BATCH + 4 + 60
    assert cluster.pool.status.conditions[0].reason == PoolReason.POD_REFUSED
    assert cluster.writes.count("patch status") == 2
    cluster.refusal = None
    await run(cluster, lives, 70)
    assert len(cluster.live) == 50


async def test_a_claimed_pod_is_replaced_with_one_late_write_to_the_status() -> None:
    cluster = Cluster(10)
    await run(cluster, lives, 10)
    cluster.writes.clear()
    claimed = cluster.live[0].name
    cluster.change(claimed, sandbox="one", owner_uid="a-sandbox")
    await step(cluster)
    assert cluster.writes == ["create pod", "create secret"]
    await run(cluster, lives, int(STATUS_SECONDS) + 1)
    assert cluster.writes == ["create pod", "create secret", "patch status"]
    assert cluster.pool.status.claimed_pods == 1
    assert cluster.pool.status.ready_replicas == 10


async def test_while_claims_come_the_status_is_written_every_few_seconds() -> None:
    cluster = Cluster(10)
    await run(cluster, lives, 10)
    cluster.writes.clear()
    for _ in range(60):
        cluster.change(cluster.live[0].name, sandbox="one", owner_uid="a-sandbox")
        await step(cluster)
    assert cluster.writes.count("create pod") == 60
    # Twice in five seconds at most: what has moved, and that it is filled again.
    assert cluster.writes.count("patch status") <= 2 * 60 / STATUS_SECONDS


async def test_a_full_pool_leaves_the_api_server_to_claims_and_an_empty_one_does_not() -> None:
    cluster = Cluster(10)
    await run(cluster, lives, 10)
    with cluster.pod_index.reserve(cluster.live[0].template):
        cluster.writes.clear()
        await cluster.reconciler.reconcile(POOL)
        assert cluster.writes == []
        cluster.advance(LONGEST_WAIT)
        await cluster.reconciler.reconcile(POOL)
        assert "create pod" in cluster.writes
    cluster = Cluster(1)
    await run(cluster, lives, 5)
    with cluster.pod_index.reserve(cluster.live[0].template):
        cluster.writes.clear()
        await cluster.reconciler.reconcile(POOL)
        assert "create pod" in cluster.writes


async def claimed(count: int) -> Cluster:
    """A pool of 10 of which so many have been claimed just now, one right after the other."""
    cluster = Cluster(10)
    await run(cluster, lives, 10)
    for pod in cluster.live[:count]:
        with cluster.pod_index.reserve(pod.template):
            cluster.change(pod.name, sandbox="one", owner_uid="a-sandbox")
        cluster.deliver(1)
    cluster.writes.clear()
    await cluster.reconciler.reconcile(POOL)
    assert cluster.writes == []
    return cluster


@pytest.mark.parametrize(("count", "lull"), [(1, BREATH), (2, LULL)])
async def test_a_full_pool_waits_longer_after_claims_that_follow_each_other(count: int, lull: float) -> None:
    cluster = await claimed(count)
    cluster.advance(0.9 * lull)
    await cluster.reconciler.reconcile(POOL)
    assert cluster.writes == []
    cluster.advance(0.1 * lull)
    await cluster.reconciler.reconcile(POOL)
    assert cluster.writes.count("create pod") == count


async def test_a_pod_that_was_made_just_before_a_crash_gets_its_secret() -> None:
    cluster = Cluster(1)
    # The status is told first.
    cluster.faults = [None, TimeoutError()]
    cluster.loses_answers = True
    with pytest.raises(TimeoutError):
        await cluster.reconciler.reconcile(POOL)
    assert (len(cluster.pods), cluster.secrets) == (1, set())
    cluster.restart()
    cluster.writes.clear()
    await step(cluster)
    assert cluster.secrets == set(cluster.pods)
    assert cluster.writes.count("create pod") == 0


KEPT: dict[str, Any] = {"workspace": {"persistent": True}}


def volumes(replicas: int) -> Cluster:
    """A pool of a class with volumes."""
    cluster = Cluster(replicas)
    cluster.set_class(**KEPT)
    return cluster


def lacks_volume(cluster: Cluster, pod: Pod) -> None:
    """No volume is bound, as the scheduler says once."""
    if pod.scheduled is None:
        words = "pod has unbound immediate PersistentVolumeClaims"
        cluster.change(pod.name, scheduled=condition(False, "Unschedulable", words))


def lives_with_its_volume(cluster: Cluster, pod: Pod) -> None:
    if pod.name in cluster.volumes:
        lives(cluster, pod)


def says_nothing(cluster: Cluster, pod: Pod) -> None:
    """The scheduler has chosen a node, and waits for the volume."""


def of_claim(name: str, reason: str, note: str) -> ClusterEvent:
    return ClusterEvent(reason, note, "PersistentVolumeClaim", "uid", NOW, name=name)


async def test_a_pod_with_a_volume_costs_three_writes() -> None:
    cluster = volumes(5)
    await run(cluster, lives, 10)
    assert cluster.writes.count("create pod") == cluster.writes.count("create secret") == 5
    assert cluster.writes.count("create volume claim") == 5
    assert cluster.secrets == cluster.volumes == set(cluster.pods)
    assert cluster.looks == 0


async def test_a_pod_that_was_made_just_before_a_crash_gets_its_volume() -> None:
    cluster = volumes(1)
    # The status, the pod and its Secret are written.
    cluster.faults = [None, None, None, TimeoutError()]
    with pytest.raises(TimeoutError):
        await cluster.reconciler.reconcile(POOL)
    assert (len(cluster.pods), len(cluster.secrets), len(cluster.volumes)) == (1, 1, 0)
    cluster.restart()
    cluster.writes.clear()
    await step(cluster)
    assert cluster.volumes == cluster.secrets == set(cluster.pods)
    assert cluster.writes.count("create pod") == 0


async def test_a_pool_without_quota_for_volumes_makes_few_pods() -> None:
    cluster = volumes(50)
    cluster.volume_refusal = Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: storage")
    await run(cluster, lacks_volume, 900)
    assert len(cluster.pods) == BATCH
    assert cluster.pool.status.conditions[0].reason == PoolReason.QUOTA_EXCEEDED
    cluster.volume_refusal = None
    await run(cluster, lives_with_its_volume, 70)
    assert len(cluster.volumes) == 50


@pytest.mark.parametrize("fate", [lacks_volume, says_nothing])
async def test_pods_that_wait_for_their_volumes_are_few_and_the_status_says_why(fate: Fate) -> None:
    cluster = volumes(50)
    await run(cluster, fate, 10)
    assert cluster.looks == 0
    cluster.events = [
        of_claim(name, "ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found') for name in cluster.pods
    ]
    await run(cluster, fate, 10)
    assert len(cluster.pods) == BATCH
    [told] = cluster.pool.status.conditions
    assert told.reason == PoolReason.VOLUME_NOT_BOUND
    assert 'ProvisioningFailed: storageclass.storage.k8s.io "gone" not found' in told.message
    assert cluster.looks == 1
    cluster.events = [of_claim(name, "ProvisioningFailed", "no space left") for name in cluster.pods]
    cluster.writes.clear()
    await run(cluster, fate, 3600)
    # No pod is given up: the same volumes are bound once they can be.
    assert set(cluster.writes) == {"patch status"}
    assert "no space left" in cluster.pool.status.conditions[0].message
    assert cluster.looks == pytest.approx(3600 / LOOK_INTERVAL, abs=5)
    await run(cluster, lives, 60)
    assert cluster.pool.status.conditions[0].reason == PoolReason.FILLED


async def test_events_that_cannot_be_read_are_not_needed() -> None:
    cluster = volumes(1)
    await run(cluster, lacks_volume, 15)
    cluster.faults.append(ApiError(403, "Forbidden", ""))
    cluster.loses_answers = True
    await step(cluster, lacks_volume)
    assert cluster.looks == 1
    [told] = cluster.pool.status.conditions
    assert told.reason == PoolReason.VOLUME_NOT_BOUND
    assert "unbound immediate" in told.message


async def test_a_class_that_gets_volumes_rolls_its_pools() -> None:
    cluster = Cluster(3)
    await run(cluster, lives, 10)
    before = set(cluster.pods)
    cluster.set_class(**KEPT)
    await run(cluster, lives, 20)
    assert not before & set(cluster.pods)
    assert cluster.volumes == set(cluster.pods)
    cluster.set_class()
    await run(cluster, lives, 20)
    assert (len(cluster.live), cluster.volumes) == (3, set())


async def test_demand_sizes_a_pool_and_the_size_outlives_the_operator() -> None:
    cluster = Cluster(1)
    cluster.edit(autoscaling={"minReplicas": 1, "maxReplicas": 20})
    await run(cluster, lives_slowly, 10)
    assert len(cluster.live) == 1
    for _ in range(12):
        cluster.reconciler.started(POOL)
    await run(cluster, lives_slowly, 20)
    size = len(cluster.live)
    # Of twelve starts at the same time 95 % are to find a pod.
    assert size == 12
    assert cluster.pool.status.desired_replicas == size
    cluster.restart()
    await run(cluster, lives, 5)
    assert len(cluster.live) == size
    cluster.edit(autoscaling=None, replicas=2)
    await run(cluster, lives, 5)
    assert len(cluster.live) == 2


async def test_a_pool_without_demand_shrinks_to_its_least() -> None:
    cluster = Cluster(8)
    cluster.edit(autoscaling={"minReplicas": 2, "maxReplicas": 20})
    await run(cluster, lives, 5)
    assert len(cluster.live) == 8
    for _ in range(200):
        await step(cluster, lives, 60)
    assert len(cluster.live) == 2


async def test_the_pods_of_a_deleted_pool_are_left_to_the_garbage_collector() -> None:
    cluster = Cluster(2)
    await run(cluster, lives, 5)
    cluster.writes.clear()
    cluster.delete()
    cluster.change(cluster.live[0].name, sandbox="one")
    cluster.deliver(10)
    await cluster.reconciler.reconcile(POOL)
    assert cluster.writes == []


async def test_without_its_class_nothing_is_touched() -> None:
    cluster = Cluster(2)
    await run(cluster, lives, 5)
    cluster.classes.drop("default", "class")
    cluster.vanish(cluster.live[0].name)
    cluster.writes.clear()
    await step(cluster)
    assert cluster.writes == ["patch status"]
    assert cluster.pool.status.conditions[0].reason == PoolReason.SANDBOX_CLASS_NOT_FOUND


def value(state: str) -> float | None:
    return REGISTRY.get_sample_value("openhands_sandbox_pool_pods", {"pool": POOL, "state": state})


async def test_metrics_show_what_is_so_as_long_as_there_is_a_pool() -> None:
    cluster = Cluster(3)
    await run(cluster, lives, 5)
    assert (value("ready"), value("failing"), value("claimed")) == (3, 0, 0)
    reason = {"pool": POOL, "reason": Reason.IMAGE_PULL_BACK_OFF}
    name = "openhands_sandbox_pool_refill_failures_total"
    before = REGISTRY.get_sample_value(name, reason) or 0
    cluster.change(cluster.live[0].name, sandbox="one", owner_uid="a-sandbox")
    await run(cluster, fails, 3)
    assert REGISTRY.get_sample_value(name, reason) == before + 1
    assert (value("ready"), value("failing"), value("claimed")) == (2, 1, 1)
    cluster.delete()
    await cluster.reconciler.reconcile(POOL)
    assert value("ready") is None


async def test_it_runs_by_itself_and_tries_again() -> None:
    cluster = Cluster(3)
    cluster.faults = [ApiError(500, "InternalError", "etcd is away"), TimeoutError(), ApiError(409, "Conflict", "")]
    task = asyncio.create_task(cluster.reconciler.run())
    async with asyncio.timeout(10):
        while cluster.pool.status.ready_replicas < 3:
            await asyncio.sleep(0.01)
            for pod in list(cluster.pods.values()):
                if pod.name in cluster.secrets:
                    lives(cluster, pod)
            cluster.deliver(100)
            cluster.reconciler.changed(POOL)
            cluster.advance(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert value("ready") is None

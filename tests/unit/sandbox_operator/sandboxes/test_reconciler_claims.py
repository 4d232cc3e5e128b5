"""Passes over a sandbox that may have a warm pod, when the API server fails and caches lag."""

from typing import Any

import pytest
from prometheus_client import REGISTRY

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_crds.names import pod_name
from sandbox_operator.watching.pods import decode
from unit.sandbox_operator.samples import KEYS, UID
from unit.sandbox_operator.scene import WarmScene, as_ready

HIT = ["claim pods", "patch sandboxes"]
COLD = ["create secrets", "create pods"]


@pytest.fixture
def scene() -> WarmScene:
    return WarmScene()


async def test_a_hit_reads_nothing_and_writes_twice(scene: WarmScene) -> None:
    await scene.stock_up("pool-a", "pool-b")
    scene.add()
    assert await scene.step() == HIT
    told = scene.status
    assert (scene.told, told["launch"], told["pool"]) == (Reason.READY, "Warm", "pool")
    assert (told["podName"], told["keyID"]) == ("pool-a", KEYS.key_id("pool-a"))
    assert told["readyTime"] == told["firstReadyTime"] == "2026-11-23T12:00:00Z"
    # The cache does not show the claim yet, and then it does.
    assert await scene.step() == []
    scene.see("pool-a")
    assert await scene.step() == []
    assert (scene.started, scene.queue.retried) == (["pool"], [])
    assert [pod.name for pod in scene.pod_index.free("pool")] == ["pool-b"]


async def test_a_pod_that_goes_before_the_cache_shows_its_claim_is_replaced(scene: WarmScene) -> None:
    """If the watch brings claim and deletion at once, nothing tells of the loss later: somebody must look again."""
    await scene.stock_up("pool-a")
    scene.add()
    await scene.step()
    del scene.server.objects["pods", "pool-a"]
    scene.see("pool-a")
    scene.queue.put_off.clear()
    assert await scene.step() == []
    assert scene.queue.put_off == [5.0]
    scene.seen = 2
    assert "create pods" in await scene.step()


async def test_a_pod_that_somebody_was_faster_to_claim_is_left_to_them(scene: WarmScene) -> None:
    await scene.stock_up("pool-a", "pool-b")
    scene.server.objects["pods", "pool-a"]["metadata"]["labels"]["sandbox.openhands.dev/sandbox"] = "other"
    scene.add()
    assert await scene.step() == ["claim pods", "get pods", *HIT]
    assert scene.status["podName"] == "pool-b"


async def test_a_pod_that_is_gone_is_none(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    del scene.server.objects["pods", "pool-a"]
    scene.add()
    assert await scene.step() == ["claim pods", *COLD]
    assert scene.started == ["pool"]


async def test_a_miss_is_told_with_the_first_status(scene: WarmScene) -> None:
    scene.add()
    assert await scene.step() == COLD
    pod = decode(scene.server.objects["pods", pod_name("one", UID)])
    scene.pod_index.changed(pod.name, as_ready(pod))
    await scene.stock_up("pool-a")
    assert await scene.step() == ["patch sandboxes"]
    assert (scene.status["launch"], scene.status["keyID"]) == ("Cold", KEYS.key_id(UID))
    assert scene.status["poolMiss"] == "PoolEmpty: Pool pool has no free pod that is ready."
    assert scene.started == ["pool"]


async def test_a_claim_whose_answer_is_lost_is_found(scene: WarmScene) -> None:
    await scene.stock_up("pool-a", "pool-b")
    scene.add()
    answer = scene.server.json_patch

    async def lost(*args: Any) -> Any:
        await answer(*args)
        raise TimeoutError

    scene.server.json_patch = lost  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        await scene.step()
    scene.server.json_patch = answer  # type: ignore[method-assign]
    assert await scene.step() == ["claim pods", "get pods", "patch sandboxes"]
    assert scene.status["podName"] == "pool-a"
    scene.see("pool-a")
    assert await scene.step() == []
    assert [pod.name for pod in scene.pod_index.free("pool")] == ["pool-b"]


async def test_a_pod_is_not_thrown_away_for_a_status_that_is_not_current(scene: WarmScene) -> None:
    await scene.stock_up("pool-a", "pool-b")
    scene.add()
    await scene.step()
    for name in ("pool-a", "pool-b"):
        metadata = scene.server.objects["pods", name]["metadata"]
        metadata["ownerReferences"] = [{"uid": UID, "controller": True}]
        metadata["labels"]["sandbox.openhands.dev/sandbox"] = "one"
        metadata["annotations"]["sandbox.openhands.dev/claimed-at"] = "2026-11-23T12:00:00Z"
        scene.see(name)
    scene.edit(seen=False)
    assert await scene.step() == ["get sandboxes"]
    # What is just written is another state, too.
    assert await scene.step() == ["patch sandboxes", "get sandboxes"]
    assert await scene.step() == ["get sandboxes", "delete pods"]


async def test_a_key_that_was_told_meanwhile_makes_the_claim_void(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    scene.add()
    pinned = ApiError(409, "Conflict", "the object has been modified")
    scene.server.fail["patch sandboxes"] = [pinned]
    with pytest.raises(ApiError):
        await scene.step()
    scene.edit(warmStart="Never")
    scene.see("pool-a")
    assert await scene.step() == [*COLD, "get sandboxes", "delete pods"]
    assert scene.status == {}


async def test_a_claim_that_is_refused_is_a_cold_start(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    scene.server.fail["claim pods"] = [ApiError(403, "Forbidden", "cannot patch pods")]
    scene.add()
    assert await scene.step() == ["claim pods", *COLD]
    assert [pod.name for pod in scene.pod_index.free("pool")] == ["pool-a"]


async def test_a_claim_that_fails_is_tried_again(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    scene.server.fail["claim pods"] = [ApiError(429, "TooManyRequests", "")]
    scene.add()
    with pytest.raises(ApiError):
        await scene.step()
    assert await scene.step() == HIT


@pytest.mark.parametrize(("others", "writes"), [((), COLD), (("pool-b",), HIT)])
async def test_a_pod_that_others_change_all_the_time_stays_free_and_keeps_no_other_one_from_use(
    scene: WarmScene, others: tuple[str, ...], writes: list[str]
) -> None:
    await scene.stock_up("pool-a", *others)
    scene.server.fail["claim pods"] = [ApiError(409, "Conflict", "the object has been modified")]
    scene.add()
    assert (await scene.step())[-len(writes) :] == writes
    assert [pod.name for pod in scene.pod_index.free("pool")] == ["pool-a"]


async def test_a_pod_whose_key_nobody_can_derive_is_left_alone(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    annotations = scene.server.objects["pods", "pool-a"]["metadata"]["annotations"]
    annotations["sandbox.openhands.dev/key-id"] = "v9-" + "a" * 26
    scene.see("pool-a")
    scene.add()
    assert await scene.step() == COLD
    # The pool sees it and replaces it.
    assert [pod.name for pod in scene.pod_index.free("pool")] == ["pool-a"]


async def test_a_sandbox_of_an_unlisted_runtime_class_is_told_so_when_it_starts_warm(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    scene.add()
    scene.edit(runtimeClassName="unknown")
    assert await scene.step() == ["claim pods", "create events", "patch sandboxes"]
    [event] = scene.events("RuntimeClassDropped")
    assert event["regarding"]["name"] == "one"


async def test_claims_and_misses_are_counted(scene: WarmScene) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"openhands_sandbox_pool_{name}_total", labels) or 0.0

    def counts() -> tuple[float, float]:
        return count("claims", pool="pool"), count("misses", reason="PoolEmpty")

    hits, misses = counts()
    scene.add()
    await scene.step()
    assert counts() == (hits, misses + 1)
    fresh = WarmScene()
    await fresh.stock_up("pool-a")
    fresh.add()
    await fresh.step()
    assert counts() == (hits + 1, misses + 1)


async def test_a_suspended_sandbox_claims_nothing(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    scene.add()
    scene.edit(suspend=True)
    assert await scene.step() == ["patch sandboxes"]
    assert scene.status.get("keyID", "") == ""
    # What was never started may still start warm.
    scene.edit(suspend=False)
    assert await scene.step() == HIT
    assert scene.status["launch"] == "Warm"


async def test_a_claimed_pod_that_a_late_cache_shows_free_is_not_replaced(scene: WarmScene) -> None:
    """As a new leader may see it, whose pods come later than its Sandboxes."""
    await scene.stock_up("pool-a")
    scene.add()
    assert await scene.step() == HIT
    scene.forget()
    assert await scene.step() == ["get sandboxes", "get pods"]
    assert await scene.step() == []
    scene.see("pool-a")
    assert await scene.step() == []
    assert scene.status["podName"] == "pool-a"


async def test_a_sandbox_gets_nothing_of_an_earlier_one_of_its_name(scene: WarmScene) -> None:
    """One is deleted and another made before a worker looks, and the cache of pods lags."""
    await scene.stock_up("pool-a")
    scene.add()
    assert await scene.step() == HIT
    metadata = {**scene.stored["metadata"], "uid": "another", "resourceVersion": "9"}
    another = {**scene.stored, "metadata": metadata, "status": {}}
    scene.sandboxes.drop("one", UID)
    scene.server.objects["sandboxes", "one"] = another
    scene.sandboxes.put(another)
    await scene.step()
    assert scene.stored["status"].get("podName") != "pool-a"


async def test_a_claim_that_a_policy_refuses_leaves_the_pod_free(scene: WarmScene) -> None:
    await scene.stock_up("pool-a")
    scene.add()
    scene.server.fail["claim pods"] = [ApiError(422, "Invalid", "denied by policy")]
    assert await scene.step() == ["claim pods", "get pods", *COLD]
    assert [pod.name for pod in scene.pod_index.free("pool")] == ["pool-a"]
    pod = decode(scene.server.objects["pods", pod_name("one", UID)])
    scene.pod_index.changed(pod.name, as_ready(pod))
    assert await scene.step() == ["patch sandboxes"]
    assert scene.status["poolMiss"] == "Other: denied by policy"

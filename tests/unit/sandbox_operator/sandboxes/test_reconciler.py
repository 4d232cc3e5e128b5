"""Passes over one sandbox when the API server fails and caches lag."""

from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest

from sandbox_common.kube import ApiError, KubeObject, Resource
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from unit.sandbox_operator.faults import ALREADY_EXISTS
from unit.sandbox_operator.samples import KEY_ID, LATER
from unit.sandbox_operator.scene import Scene, answering

COLD = ["create secrets", "create pods"]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_cold_start(scene: Scene) -> None:
    scene.add()
    assert await scene.step() == COLD
    assert 2.0 in scene.queue.put_off
    scene.show(answering)
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.READY
    assert await scene.step() == []
    assert scene.queue.retried == []


async def test_nothing_is_made_twice_while_the_cache_lags(scene: Scene) -> None:
    scene.add()
    assert await scene.step() == COLD
    assert await scene.step() == []
    assert await scene.step() == []


async def test_an_unknown_sandbox_is_nobody_s_business(scene: Scene) -> None:
    assert await scene.step() == []


async def test_a_lost_pod_of_a_lost_sandbox_is_not_replaced(scene: Scene) -> None:
    """The watch has not told that the Sandbox is gone; the garbage collector has deleted its pod."""
    scene.add(podName="one-pod", podUID="old")
    del scene.server.objects["sandboxes", "one"]
    assert await scene.step() == ["get sandboxes"]
    assert scene.sandboxes.get("one") is None


async def test_a_pod_that_the_cache_loses_during_a_pass_is_not_reported_as_lost(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show()
    scene.now = LATER
    read = scene.server.list

    async def lose(resource: Resource, namespace: str, **query: str) -> KubeObject:
        scene.lose()
        return await read(resource, namespace, **query)

    await scene.step()
    scene.server.list = lose
    scene.now += timedelta(minutes=1)
    assert "list events" in await scene.step()
    assert scene.events("PodLost") == []


async def test_a_pod_that_was_ended_for_a_restart_is_not_reported_as_lost(scene: Scene) -> None:
    """The former leader has written it, and this one sees the pod's end first."""
    await scene.start()
    scene.edit(seen=False, restartedAt=rfc3339(LATER))
    scene.show(lambda seen: replace(answering(seen), deletion_requested=LATER, deletion_due=LATER))
    assert await scene.step() == ["get sandboxes"]
    assert scene.events("PodLost") == []


@pytest.mark.parametrize("lives", [True, False])
async def test_what_is_collected_as_garbage_may_belong_to_a_sandbox_that_has_gone(scene: Scene, lives: bool) -> None:
    """A list from the past has brought it back, and nothing else would take it away for minutes."""
    scene.add()
    if not lives:
        del scene.server.objects["sandboxes", "one"]
    scene.server.fail["create secrets"] = [ALREADY_EXISTS]
    with pytest.raises(ApiError):
        await scene.step()
    assert scene.server.seen[-1] == "get sandboxes"
    assert (scene.sandboxes.get("one") is not None) == lives


async def test_a_lost_pod_of_a_living_sandbox_is_replaced(scene: Scene) -> None:
    scene.add(podName="one-pod", podUID="old")
    assert await scene.step() == ["get sandboxes", "get pods", "create events", *COLD]


async def test_a_pod_that_only_the_cache_lacks_is_not_reported_as_lost(scene: Scene) -> None:
    """The Sandbox's watch is ahead of that of the pods, as it may be when another operator takes over."""
    await scene.start()
    scene.lose()
    assert "get pods" in await scene.step()
    assert scene.events("PodLost") == []
    assert scene.stored["status"].get("lostPods", 0) == 0


async def test_a_pod_that_only_the_cache_lacks_is_not_lost_when_its_class_is(scene: Scene) -> None:
    await scene.start()
    scene.lose()
    scene.classes.drop("default", "class")
    assert "get pods" in await scene.step()
    assert "lastLoss" not in scene.stored["status"]
    scene.show(answering)
    await scene.step()
    del scene.server.objects["pods", scene.pod.name]
    scene.lose()
    await scene.step()
    assert scene.stored["status"]["lostPods"] == 1


async def test_a_pod_that_only_the_cache_lacks_is_ended_before_the_suspension_is_reported(scene: Scene) -> None:
    """It is a new leader, whose watch of pods is late."""
    await scene.start()
    scene.lose()
    scene.edit(suspend=True)
    await scene.step()
    assert scene.queue.retried
    assert "delete pods" in await scene.step()
    scene.end()
    scene.seen = 2
    await scene.step()
    assert scene.told == Reason.SUSPENDED


async def test_a_pod_that_the_cache_never_shows_is_looked_at_now_and_then(scene: Scene) -> None:
    """Somebody has removed its label."""
    await scene.start()
    scene.lose()
    scene.seen = 2
    for _ in range(5):
        assert await scene.step() == ["get sandboxes", "get pods"]
    assert len(scene.queue.retried) == 5
    assert scene.told == Reason.READY


async def test_what_a_former_operator_has_not_told_is_told_though_a_pause_comes_between(scene: Scene) -> None:
    """It has made all and died. The pod is to be suspended, and goes on after all."""
    scene.add()
    await scene.step()
    scene.forget()
    scene.show(answering)
    scene.edit(suspend=True)
    scene.agents.meanwhile = lambda: scene.edit(suspend=False)
    await scene.step()
    await scene.step()
    assert scene.told == Reason.READY
    assert scene.stored["status"]["keyID"] == KEY_ID


async def test_a_refusal_is_told_once_and_tried_again(scene: Scene) -> None:
    scene.add()
    refusal = ApiError(403, "Forbidden", "exceeded quota: small")
    scene.server.fail["create pods"] = [refusal, refusal]
    assert await scene.step() == [*COLD, "patch sandboxes"]
    assert scene.told == Reason.QUOTA_EXCEEDED
    assert await scene.step() == ["create secrets", "get secrets", "create pods"]
    assert scene.queue.retried == [1.0, 1.0]
    assert "create pods" in await scene.step()
    assert len(scene.queue.retried) == 2


async def test_a_status_that_lost_a_race_is_tried_again(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show(answering)
    scene.edit(seen=False)
    with pytest.raises(ApiError, match="modified"):
        await scene.step()
    scene.sandboxes.put(scene.stored)
    assert await scene.step() == ["patch sandboxes"]


async def test_a_sandbox_that_goes_before_its_status_is_written_is_dropped(scene: Scene) -> None:
    scene.add()
    await scene.step()
    scene.show(answering)
    del scene.server.objects["sandboxes", "one"]
    assert await scene.step() == ["patch sandboxes"]
    assert scene.sandboxes.get("one") is None


@pytest.mark.parametrize(
    ("failure", "at_least"),
    [
        (ApiError(429, "TooManyRequests", "", 7), 7),
        (ApiError(500, "InternalError", ""), 0),
        (ApiError(409, "Conflict", "quota"), 0),
        (TimeoutError(), 0),
        (aiohttp.ClientConnectionError(), 0),
        (RuntimeError("a defect"), 0),
    ],
)
async def test_a_worker_outlives_all_failures(scene: Scene, failure: Exception, at_least: float) -> None:
    scene.add()
    scene.server.fail["create pods"] = [failure]
    assert await scene.work() == COLD
    assert scene.queue.retried == [at_least]
    scene.now = LATER
    # The Secret is there from the first attempt.
    assert await scene.work() == ["create secrets", "get secrets", "create pods", "list events", "patch sandboxes"]

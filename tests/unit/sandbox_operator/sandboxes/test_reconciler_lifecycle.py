"""Passes over one sandbox that is suspended, restarted, lost and limited."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_operator.agents import background
from sandbox_operator.sandboxes.running import LOOK_INTERVAL, SILENCE
from sandbox_operator.sandboxes.situation import PATIENCE
from sandbox_operator.watching.pace import Pace
from sandbox_operator.watching.pods import decode
from unit.sandbox_operator.samples import (
    KEY_ID,
    LATER,
    NOW,
    UID,
    pod,
    runs,
    status,
    waits,
)
from unit.sandbox_operator.scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_pod_is_prepared_for_its_pause(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    assert await scene.step() == ["get sandboxes", "delete pods"]
    assert scene.agents.asked == [("10.244.0.7", KEY_ID)]
    # The pod ends; nobody asks again.
    assert await scene.step() == []
    assert len(scene.agents.asked) == 1


async def test_a_pod_whose_sandbox_is_resumed_while_it_is_prepared_goes_on(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    scene.agents.meanwhile = lambda: scene.edit(suspend=False)
    # Only the generation is new.
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.READY


async def test_a_resume_that_the_watch_has_not_told_yet_counts(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    scene.agents.meanwhile = lambda: scene.edit(suspend=False, seen=False)
    assert await scene.step() == ["get sandboxes"]
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.READY


async def test_a_sandbox_that_goes_while_its_pod_is_prepared(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    scene.agents.meanwhile = lambda: scene.sandboxes.drop("one", UID)
    # The garbage collector deletes the pod.
    assert await scene.step() == []
    assert await scene.step() == []


async def test_an_agent_server_that_does_not_answer_holds_up_no_worker(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)
    scene.agents.answers.clear()
    assert await scene.step() == []
    # It is not asked again meanwhile, and its pod stays.
    assert await scene.step() == []
    assert len(scene.agents.asked) == 1
    scene.agents.answers.set()
    await asyncio.sleep(0)
    assert await scene.step() == ["get sandboxes", "delete pods"]
    assert len(scene.agents.asked) == 1


async def test_no_more_agent_servers_are_asked_at_once_than_may_be(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scene.start()
    scene.edit(suspend=True)
    monkeypatch.setattr(background, "AT_ONCE", 0)
    assert await scene.step() == []
    assert scene.agents.asked == []
    assert 1 in scene.queue.put_off
    monkeypatch.setattr(background, "AT_ONCE", 1)
    assert await scene.step() == ["get sandboxes", "delete pods"]


async def test_a_pod_goes_whatever_comes_of_its_preparation(scene: Scene) -> None:
    await scene.start()
    scene.edit(suspend=True)

    def fail() -> None:
        raise RuntimeError("unforeseen")

    scene.agents.meanwhile = fail
    assert await scene.step() == ["get sandboxes", "delete pods"]


async def test_a_restart_is_told_before_the_pod_goes(scene: Scene) -> None:
    await scene.start()
    scene.now = NOW + timedelta(seconds=1)
    scene.edit(restartedAt=rfc3339(scene.now))
    assert await scene.step() == ["patch sandboxes", "get sandboxes", "delete pods"]
    assert (scene.told, len(scene.agents.asked)) == (Reason.POD_TERMINATING, 1)
    del scene.server.objects["pods", pod().name]
    scene.lose()
    assert await scene.step() == ["get sandboxes", "create secrets", "get secrets", "create pods"]
    [body] = [body for (plural, _), body in scene.server.objects.items() if plural == "pods"]
    assert decode(body).restarted_at == rfc3339(scene.now)


async def test_a_lost_pod_is_told_once(scene: Scene) -> None:
    await scene.start()
    del scene.server.objects["pods", pod().name]
    scene.lose()
    scene.server.fail["create secrets"] = [TimeoutError()]
    with pytest.raises(TimeoutError):
        await scene.step()
    # The first attempt has posted the event, and the next one cannot know it before it tries.
    lost = ["get sandboxes", "get pods", "create events"]
    assert await scene.step() == [*lost, "create secrets", "get secrets", "create pods", "patch sandboxes"]
    [event] = scene.events("PodLost")
    assert event["metadata"]["name"].endswith("uid-2")
    assert await scene.step() == []


async def test_a_pod_whose_loss_follows_from_a_suspension_that_is_not_known_yet_is_not_replaced(scene: Scene) -> None:
    """Another operator, or this one before its watch broke, has deleted the pod; the watch has not told why."""
    await scene.start()
    scene.edit(suspend=True, seen=False)
    scene.end()
    scene.now = LATER
    assert await scene.step() == ["get sandboxes"]
    assert await scene.step() == ["get pods", "patch sandboxes"]
    assert (scene.told, scene.events("PodLost")) == (Reason.SUSPENDED, [])


def _always(_: Pace) -> AbstractContextManager[bool]:
    return nullcontext(True)


async def test_events_about_a_pod_that_does_not_say_why_it_waits_are_read_now_and_then(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The time that passes here is not that of the clock by which reading is kept to a share of it.
    monkeypatch.setattr(Pace, "turn", _always)
    scene.add()
    await scene.step()
    scene.show(lambda seen: replace(waits("ContainerCreating"), uid=seen.uid))
    event = {
        "metadata": {"name": "why", "creationTimestamp": rfc3339(NOW)},
        "reason": "FailedMount",
        "note": 'configmap "x" not found',
        "regarding": {"kind": "Pod", "name": pod().name, "uid": scene.pod.uid},
    }
    scene.server.objects["events", "why"] = event
    scene.server.objects["events", "broken"] = {"metadata": {"name": "broken"}}
    scene.now = NOW + SILENCE
    assert await scene.step() == ["list events", "patch sandboxes"]
    assert scene.server.queries == [{"fieldSelector": f"regarding.name={pod().name}"}]
    assert scene.told == Reason.CREATE_CONTAINER_ERROR
    assert scene.queue.put_off[-1] == LOOK_INTERVAL.total_seconds()
    assert await scene.step() == []
    scene.now += LOOK_INTERVAL
    assert await scene.step() == ["list events"]


@pytest.mark.parametrize("failure", [ApiError(403, "Forbidden", ""), TimeoutError(), aiohttp.ClientConnectionError()])
async def test_without_events_everything_goes_on(scene: Scene, failure: Exception) -> None:
    scene.add()
    await scene.step()
    scene.show()
    scene.now = LATER
    scene.server.fail["list events"] = [failure]
    assert await scene.step() == ["list events", "patch sandboxes"]
    assert scene.told == Reason.PENDING
    assert await scene.step() == []


async def test_a_life_that_ends_is_announced_and_ended_once(scene: Scene) -> None:
    await scene.start()
    scene.set_class(2, maximumLifeSeconds=100)
    scene.now = NOW + timedelta(seconds=90)
    assert await scene.step() == ["get sandboxes", "create events", "patch sandboxes"]
    assert [each["type"] for each in scene.stored["status"]["conditions"]] == ["Ready", "Expiring"]
    assert scene.queue.put_off[-1] == 10
    assert await scene.step() == []
    scene.now = NOW + timedelta(seconds=100)
    assert await scene.step() == ["delete sandboxes", "create events"]
    assert len(scene.events("ExpiringSoon")) == len(scene.events("Expired")) == 1
    assert await scene.step() == []


async def test_a_pod_ends_with_its_sandboxs_life_though_a_finalizer_keeps_the_sandbox(scene: Scene) -> None:
    await scene.start()
    scene.set_class(2, maximumLifeSeconds=100)
    scene.stored["metadata"]["finalizers"] = ["backup.example/keep"]
    scene.edit()
    scene.now = NOW + timedelta(seconds=90)
    await scene.step()
    held = scene.stored
    scene.now = NOW + timedelta(seconds=100)
    assert await scene.step() == ["delete sandboxes", "create events"]
    version = str(int(held["metadata"]["resourceVersion"]) + 1)
    ending = {**held["metadata"], "resourceVersion": version, "deletionTimestamp": rfc3339(scene.now)}
    scene.server.objects["sandboxes", "one"] = {**held, "metadata": ending}
    scene.sandboxes.put(scene.stored)
    seen = await scene.step()
    assert scene.told == Reason.TERMINATING
    assert seen[-1] == "delete pods"


async def test_a_sandbox_that_has_changed_is_looked_at_again_before_its_end(scene: Scene) -> None:
    await scene.start()
    scene.set_class(2, maximumLifeSeconds=100)
    scene.now = NOW + timedelta(seconds=90)
    await scene.step()
    scene.now = NOW + timedelta(seconds=100)
    scene.edit(maximumLifeSeconds=0, seen=False)
    with pytest.raises(ApiError, match="modified"):
        await scene.step()
    scene.sandboxes.put(scene.stored)
    assert await scene.step() == ["patch sandboxes"]
    assert [each["type"] for each in scene.stored["status"]["conditions"]] == ["Ready"]
    assert scene.events("Expired") == []


async def test_a_start_that_takes_too_long_is_suspended(scene: Scene) -> None:
    scene.set_class(2, progressDeadlineSeconds=60)
    await scene.start()
    scene.server.objects["pods", pod().name]["metadata"]["uid"] = "another"
    scene.show(lambda _: replace(runs(), uid="another", created=LATER))
    scene.now = LATER + PATIENCE
    # This process does not know whether all was made for the other pod.
    assert await scene.step() == ["get sandboxes", "create secrets", "get secrets", "patch sandboxes"]
    scene.now += timedelta(seconds=60)
    assert await scene.step() == ["patch sandboxes", "create events"]
    assert (scene.stored["spec"]["suspend"], scene.stored["spec"]["suspendReason"]) == (True, "StartTimeout")
    assert await scene.step() == ["delete pods"]
    scene.end()
    assert await scene.step() == ["get pods", "patch sandboxes"]
    assert scene.told == Reason.START_TIMEOUT
    assert scene.agents.asked == []


async def test_a_sandbox_that_goes_before_it_is_suspended_is_dropped(scene: Scene) -> None:
    scene.set_class(2, progressDeadlineSeconds=60)
    status_ = status(Reason.STARTING, first_ready_time=rfc3339(NOW)).model_dump(by_alias=True)
    scene.add(**status_)
    scene.pod_index.changed(pod().name, runs())
    del scene.server.objects["sandboxes", "one"]
    scene.now = NOW + timedelta(seconds=60)
    assert await scene.step() == ["patch sandboxes"]
    assert (scene.sandboxes.get("one"), scene.events("StartTimeout")) == (None, [])

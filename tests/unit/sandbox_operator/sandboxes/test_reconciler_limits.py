"""Passes over a sandbox whose owner has limits."""

from datetime import timedelta

import pytest

from sandbox_common.api_keys import Limits
from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from unit.sandbox_operator.samples import KEY_ID, LATER
from unit.sandbox_operator.scene import Scene, answering

COLD = ["create secrets", "create pods"]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_within_the_limits_nothing_more_is_written(scene: Scene) -> None:
    scene.limits = Limits(running=1, sandboxes=1, starts_per_minute=1)
    scene.add("team")
    assert await scene.step() == COLD
    scene.show(answering)
    assert await scene.step() == ["patch sandboxes"]


async def test_a_new_one_too_many_is_told_so_once_and_asks_again(scene: Scene) -> None:
    scene.limits = Limits(sandboxes=0)
    scene.add("team")
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.LIMIT_REACHED
    assert "Owner team has the limit sandboxes=0" in scene.stored["status"]["conditions"][0]["message"]
    assert scene.stored["status"]["keyID"] == KEY_ID
    assert scene.queue.put_off == [15.0]
    assert await scene.step() == []


async def test_it_starts_when_there_is_room(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.start_queue.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.QUEUED
    scene.start_queue.forget("other")
    assert len(scene.queue) == 1
    assert await scene.step() == COLD


async def test_the_queue_goes_by_the_time_that_is_told(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.start_queue.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    asked = scene.now
    scene.server.fail["patch sandboxes"] = [ApiError(409, "Conflict", "the object has been modified")]
    with pytest.raises(ApiError):
        await scene.step()
    scene.now += timedelta(seconds=2)
    await scene.step()
    assert scene.stored["status"]["conditions"][0]["lastTransitionTime"] == rfc3339(asked)


async def test_a_refusal_by_the_cluster_gives_the_place_back(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    scene.add("team")
    scene.server.fail["create pods"] = [ApiError(403, "Forbidden", "exceeded quota: small")]
    assert await scene.step() == [*COLD, "patch sandboxes"]
    assert scene.start_queue.ask("other", scene.another("other"), scene.now) is None


async def test_who_waits_and_is_paused_gives_the_place_up(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.start_queue.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    await scene.step()
    assert scene.start_queue.waiting == 1
    scene.edit(suspend=True)
    await scene.step()
    assert scene.start_queue.waiting == 0
    assert scene.told == Reason.SUSPENDED


async def test_a_class_that_is_gone_does_not_keep_others_waiting(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.start_queue.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    await scene.step()
    scene.classes.drop("default", "class")
    await scene.step()
    assert scene.start_queue.waiting == 0


async def test_the_time_of_a_start_begins_with_its_turn(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.start_queue.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    await scene.step()
    began = scene.stored["status"]["startingSince"]
    scene.now = LATER
    scene.start_queue.forget("other")
    assert (await scene.step())[:2] == COLD
    assert scene.told != Reason.QUEUED
    assert scene.stored["status"]["startingSince"] == rfc3339(LATER) != began


@pytest.mark.parametrize("limit", ["maximumLifeSeconds", "progressDeadlineSeconds"])
async def test_one_that_waits_reaches_its_own_limits(scene: Scene, limit: str) -> None:
    scene.set_class(2, **{limit: 100})
    scene.limits = Limits(running=1)
    assert scene.start_queue.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    for _ in range(30):
        await scene.step()
        scene.now += timedelta(seconds=15)
    assert ("sandboxes", "one") not in scene.server.objects


async def test_one_that_is_paused_before_its_start_was_told_still_counts(scene: Scene) -> None:
    scene.limits = Limits(sandboxes=1)
    scene.add("team")
    await scene.step()
    scene.show()
    scene.edit(suspend=True)
    await scene.step()
    scene.end()
    await scene.step()
    assert scene.told == Reason.SUSPENDED
    held = scene.start_queue.ask("other", scene.another("other"), scene.now)
    assert held is not None
    assert held.reason is Reason.LIMIT_REACHED


async def test_a_new_leader_lets_limited_starts_wait_a_little(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    scene.start_queue.began(scene.now)
    scene.add("team")
    assert await scene.step() == []
    assert scene.queue.put_off == [2.0]
    scene.now += timedelta(seconds=2)
    assert (await scene.step())[:2] == COLD


async def test_a_lost_pod_is_made_anew_without_asking(scene: Scene) -> None:
    scene.limits = Limits(running=1, starts_per_minute=1)
    scene.add("team")
    await scene.step()
    scene.show(answering)
    await scene.step()
    scene.limits = Limits(running=0)
    scene.lose()
    scene.server.objects = {key: body for key, body in scene.server.objects.items() if key[0] != "pods"}
    requests = await scene.step()
    assert "create pods" in requests

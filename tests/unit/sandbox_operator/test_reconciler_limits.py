"""Passes over a sandbox whose owner has limits."""

import pytest

from sandbox_crds.api_keys import Limits
from sandbox_crds.kube import ApiError
from sandbox_crds.reasons import Reason
from unit.sandbox_operator.samples import KEY_ID
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
    assert "sandboxes=0 of owner team" in scene.stored["status"]["conditions"][0]["message"]
    assert scene.stored["status"]["keyID"] == KEY_ID
    assert scene.queue.put_off == [15.0]
    assert await scene.step() == []


async def test_it_starts_when_there_is_room(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.ledger.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    assert await scene.step() == ["patch sandboxes"]
    assert scene.told == Reason.QUEUED
    scene.ledger.forget("other")
    assert len(scene.queue) == 1
    assert await scene.step() == COLD


async def test_a_refusal_by_the_cluster_gives_the_place_back(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    scene.add("team")
    scene.server.fail["create pods"] = [ApiError(403, "Forbidden", "exceeded quota: small")]
    assert await scene.step() == [*COLD, "patch sandboxes"]
    assert scene.ledger.ask("other", scene.another("other"), scene.now) is None


async def test_who_waits_and_is_paused_gives_the_place_up(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.ledger.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    await scene.step()
    assert scene.ledger.waiting == 1
    scene.edit(suspend=True)
    await scene.step()
    assert scene.ledger.waiting == 0
    assert scene.told == Reason.SUSPENDED


async def test_a_class_that_is_gone_does_not_keep_others_waiting(scene: Scene) -> None:
    scene.limits = Limits(running=1)
    assert scene.ledger.ask("other", scene.another("other"), scene.now) is None
    scene.add("team")
    await scene.step()
    scene.classes.drop("default", "class")
    await scene.step()
    assert scene.ledger.waiting == 0


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

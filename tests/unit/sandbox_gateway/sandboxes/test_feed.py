"""Which changes a follower learns of, and what it keeps of those that it has not taken."""

import asyncio
from typing import Any, cast

import pytest

from sandbox_common.api_keys import Limits
from sandbox_common.reasons import Reason
from sandbox_gateway.sandboxes import feed as feeds
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.feed import Feed
from sandbox_gateway.sandboxes.health import HealthChecks
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from unit.sandbox_gateway.support import Classes, sandbox_object, status, unconnected_cache

ALL = 10_000


class Scene:
    """A cache that the test fills, and its feed."""

    def __init__(self) -> None:
        self.cache: SandboxCache = unconnected_cache()
        self.health = HealthChecks()
        held_calls = HeldCalls(self.cache, self.health, cast("SandboxClasses", Classes()))
        self.feed = Feed(self.cache, held_calls, LimitChecks(self.cache, lambda _: Limits()))
        self._version = 0

    def put(self, name: str = "sb-a", owner: str = "alice", **fields: Any) -> None:
        self._version += 1
        fields["spec"] = {"owner": owner, **fields.get("spec", {})}
        self.cache.remember(sandbox_object(name, version=self._version, uid=name, **fields))

    def drop(self, name: str = "sb-a") -> None:
        found = self.cache.get(name)
        assert found
        self.cache.forget(found)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_each_sandbox_is_noticed_once_in_the_order_of_the_changes(scene: Scene) -> None:
    with scene.feed.follow("alice") as follower:
        assert not await follower.wait(0)
        for _ in range(3):
            scene.put("sb-b")
            scene.put("sb-a")
        assert await follower.wait(60)
        assert [follower.take(1), follower.take(ALL), follower.take(ALL)] == [["sb-b"], ["sb-a"], []]
        assert not await follower.wait(0)
    scene.put("sb-a")
    assert follower.take(ALL) == []


async def test_an_owner_follows_its_own_and_an_administrator_all(scene: Scene) -> None:
    scene.put("sb-old", "bob")
    with scene.feed.follow("alice") as alice, scene.feed.follow(None) as admin:
        scene.put("sb-a", "alice")
        scene.put("sb-b", "bob")
        scene.drop("sb-old")
        assert alice.take(ALL) == ["sb-a"]
        assert admin.take(ALL) == ["sb-a", "sb-b", "sb-old"]
        assert scene.feed.look(alice, "sb-b") is None
        assert scene.feed.look(admin, "sb-b")
    assert (list(scene.feed.names("alice")), list(scene.feed.names(None))) == (["sb-a"], ["sb-a", "sb-b"])


async def test_one_that_gets_another_owner_is_gone_for_the_first(scene: Scene) -> None:
    scene.put("sb-a", "alice")
    with scene.feed.follow("alice") as alice, scene.feed.follow("bob") as bob:
        scene.put("sb-a", "bob")
        assert (alice.take(ALL), bob.take(ALL)) == (["sb-a"], ["sb-a"])
        assert scene.feed.look(alice, "sb-a") is None
        assert scene.feed.look(bob, "sb-a")
        scene.drop("sb-a")
        assert (alice.take(ALL), bob.take(ALL)) == ([], ["sb-a"])


async def test_a_follower_that_takes_nothing_keeps_a_name_of_each_sandbox(scene: Scene) -> None:
    with scene.feed.follow(None) as follower:
        for _ in range(3):
            for number in range(500):
                scene.put(f"sb-{number}")
        assert len(follower.take(ALL)) == 500


async def test_what_changes_by_itself_is_looked_at_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_LOOK_AGAIN_SECONDS", 0.05)
    scene.put(status=status(Reason.QUEUED, "Full."))
    with scene.feed.follow("alice") as follower:
        found = scene.feed.look(follower, "sb-a")
        assert found
        assert found[1].message == "Place 1 of 1 in the queue. Full."
        assert not await follower.wait(0)
        assert await follower.wait(60)
        assert follower.take(ALL) == ["sb-a"]


async def test_a_pod_that_nobody_has_reached_is_probed_and_then_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    all_asked = asyncio.Event()

    async def get(_: HealthChecks, target: tuple[str, int]) -> int:
        asked.append(target)
        if len(asked) == 40:
            all_asked.set()
        await asyncio.sleep(0)
        return 200

    monkeypatch.setattr(HealthChecks, "_get", get)
    for number in range(40):
        scene.put(f"sb-{number}", status=status(Reason.READY, podUID=f"p{number}"))
    with scene.feed.follow("alice") as one, scene.feed.follow("alice") as other:
        for name in scene.feed.names("alice"):
            for follower in (one, other):
                found = scene.feed.look(follower, name)
                assert found
                assert (found[1].status, found[1].unreached) == ("starting", True)
        await asyncio.wait_for(all_asked.wait(), 20)
        await asyncio.sleep(0.05)
        assert sorted(one.take(ALL)) == sorted(other.take(ALL)) == sorted(scene.feed.names("alice"))
        found = scene.feed.look(one, "sb-7")
        assert found
        assert found[1].status == "running"
    assert len(asked) == 40


async def test_a_pod_that_does_not_answer_is_not_asked_without_a_pause(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def get(_: HealthChecks, target: tuple[str, int]) -> int:
        nonlocal asked
        asked += 1
        return 503

    monkeypatch.setattr(HealthChecks, "_get", get)
    scene.put(status=status(Reason.READY))
    with scene.feed.follow("alice") as follower:
        for _ in range(20):
            assert scene.feed.look(follower, "sb-a")
            await asyncio.sleep(0.01)
    assert asked == 1


async def test_one_that_cannot_be_read_counts_as_gone(scene: Scene) -> None:
    scene.put(status={**status(Reason.UNSCHEDULABLE), "startingSince": "yesterday"})
    with scene.feed.follow("alice") as follower:
        assert scene.feed.look(follower, "sb-a") is None

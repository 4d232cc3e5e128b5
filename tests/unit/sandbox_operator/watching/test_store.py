"""The store behind kopf's watch."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import aiohttp
import pytest

from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.kube.old_lists import OldListError
from sandbox_common.kube.resources import SANDBOXES
from sandbox_crds.models import Sandbox
from sandbox_operator.watching import store as module
from sandbox_operator.watching.glue import feed
from sandbox_operator.watching.store import Store, Sweeper


def item(name: str = "one", version: int = 5, uid: str = "", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": uid or f"uid of {name}", "resourceVersion": str(version)},
        "spec": {"image": f"image:{version}", **spec},
    }


class Watched:
    """A store, and the names that it called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.store: Store[Sandbox] = Store(SANDBOXES, Sandbox, self.called.append)

    def image(self, name: str = "one") -> str | None:
        found = self.store.get(name)
        return found.spec.image if found else None


def test_events_change_the_store() -> None:
    watched = Watched()
    feed(watched.store, {"type": None, "object": item(version=5)})
    feed(watched.store, {"type": "ADDED", "object": item("two")})
    feed(watched.store, {"type": "MODIFIED", "object": item(version=10)})
    assert (watched.image(), len(watched.store)) == ("image:10", 2)
    feed(watched.store, {"type": "DELETED", "object": item(version=11)})
    assert [sandbox.metadata.name for sandbox in watched.store] == ["two"]
    assert watched.called == ["one", "two", "one", "one"]


@pytest.mark.parametrize("version", [4, 5, 9, 10])
def test_older_states_and_repetitions_are_passed_over(version: int) -> None:
    watched = Watched()
    watched.store.put(item(version=10))
    watched.store.put(item(version=version))
    assert (watched.image(), watched.called) == ("image:10", ["one"])


def test_a_late_deletion_leaves_the_successor_alone() -> None:
    watched = Watched()
    watched.store.put(item(version=10, uid="new"))
    watched.store.drop("one", "old")
    watched.store.drop("two", "old")
    assert (watched.image(), watched.called) == ("image:10", ["one"])


def test_the_answer_to_a_write_does_not_bring_back_what_was_deleted() -> None:
    watched = Watched()
    watched.store.refresh(item())
    assert watched.image() is None
    watched.store.put(item(version=5))
    watched.store.refresh(item(version=6))
    watched.store.refresh(item(version=7, uid="other"))
    assert watched.image() == "image:6"


def test_the_answer_to_a_write_is_given_as_it_was_although_more_is_known() -> None:
    watched = Watched()
    watched.store.put(item(version=5))
    for version in (6, 7):
        given = watched.store.refresh(item(version=version))
        assert given is watched.store.get("one")
    given = watched.store.refresh(item(version=6))
    assert given
    assert (given.spec.image, watched.image()) == ("image:6", "image:7")


def test_an_object_that_cannot_be_read_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.store.put(item(version=5))
    watched.store.put(item(version=6, env=[{"name": "SECRET", "value": {"not": "a string, hunter2"}}]))
    watched.store.put(item("two"))
    assert (watched.image(), watched.called) == ("image:5", ["one", "two"])
    assert "hunter2" not in caplog.text


class Listing:
    """A client that only lists: each time the next of `answers`, an item a page."""

    def __init__(self, *answers: list[dict[str, Any]] | Exception, version: int = 9) -> None:
        self.answers = list(answers)
        self.version = str(version)

    async def pages(self, *_: Any) -> AsyncGenerator[dict[str, Any]]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        for each in answer:
            yield {"metadata": {"resourceVersion": self.version}, "items": [each]}


async def test_a_sweep_finds_what_the_watch_has_lost() -> None:
    watched = Watched()
    for each in (item("kept"), item("gone"), item("changed"), item("remade", uid="old")):
        watched.store.put(each)
    watched.called.clear()
    found = [item("kept"), item("changed", 7), item("new"), item("remade", 8, uid="new")]
    await watched.store.sweep(cast(KubeClient, Listing(found)), "here")
    assert sorted(watched.called) == ["changed", "gone", "new", "remade"]
    assert {each.metadata.name for each in watched.store} == {"kept", "changed", "new", "remade"}


async def test_what_comes_during_a_sweep_is_not_swept_away() -> None:
    watched = Watched()

    class Slow(Listing):
        async def pages(self, *_: Any) -> AsyncGenerator[dict[str, Any]]:
            watched.store.put(item("meanwhile", 9))
            yield {"metadata": {"resourceVersion": "9"}, "items": []}

    await watched.store.sweep(cast(KubeClient, Slow()), "here")
    assert watched.image("meanwhile")


async def test_a_list_from_the_past_changes_nothing_and_is_asked_for_again() -> None:
    watched = Watched()
    for each in (item("kept", 12), item("gone", 8)):
        watched.store.put(each)
    feed(watched.store, {"type": "DELETED", "object": item("gone", 13)})
    watched.called.clear()
    past = cast(KubeClient, Listing([item("kept", 5), item("gone", 8)], [item("kept", 5)]))
    for _ in range(2):
        with pytest.raises(OldListError):
            await watched.store.sweep(past, "here")
    # So does kopf's own list, and a list in whose time it had not gone.
    watched.store.put(item("gone", 8))
    await watched.store.sweep(cast(KubeClient, Listing([item("kept", 12), item("gone", 8)], version=12)), "here")
    assert (watched.called, watched.image("kept"), watched.image("gone")) == ([], "image:12", None)


@pytest.mark.parametrize("shown_by", ["event", "list"])
async def test_one_that_was_not_found_by_mistake_comes_back(shown_by: str) -> None:
    """A proxy, or a definition that is being replaced, can answer 404 for what is there."""
    watched = Watched()
    watched.store.put(item("one", 8))
    watched.store.drop("one", "uid of one")
    watched.store.put(item("one", 8))
    assert watched.image("one") is None
    if shown_by == "event":
        watched.store.put(item("one", 9))
    else:
        await watched.store.sweep(cast(KubeClient, Listing([item("one", 8)], version=20)), "here")
    assert watched.image("one")


async def test_a_list_that_began_before_it_went_does_not_bring_it_back() -> None:
    watched = Watched()
    watched.store.put(item("one", 8))

    class Slow(Listing):
        async def pages(self, *_: Any) -> AsyncGenerator[dict[str, Any]]:
            watched.store.drop("one", "uid of one")
            async for page in super().pages():
                yield page

    await watched.store.sweep(cast(KubeClient, Slow([item("one", 8)], version=20)), "here")
    assert watched.image("one") is None


async def test_an_api_server_that_stays_in_the_past_is_believed() -> None:
    """As one whose etcd has been restored from an older state."""
    watched = Watched()
    for each in (item("changed", 12), item("lost", 15), item("deleted", 8)):
        watched.store.put(each)
    feed(watched.store, {"type": "DELETED", "object": item("deleted", 16)})
    refused = 0
    while watched.image("lost"):
        try:
            listing = Listing([item("changed", 5), item("deleted", 8)])
            await watched.store.sweep(cast(KubeClient, listing), "here")
        except OldListError:
            refused += 1
    assert refused > 5
    assert (watched.image("changed"), watched.image("deleted")) == ("image:5", "image:8")
    watched.store.put(item("changed", 10))
    assert watched.image("changed") == "image:10"


async def test_a_newer_list_with_earlier_states_is_believed() -> None:
    """As of an API server whose etcd has been restored with a higher revision."""
    watched = Watched()
    for each in (item("changed", 12), item("lost", 15), item("deleted", 8), item("later", 7)):
        watched.store.put(each)
    feed(watched.store, {"type": "DELETED", "object": item("deleted", 16)})

    class Slow(Listing):
        async def pages(self, *_: Any) -> AsyncGenerator[dict[str, Any]]:
            watched.store.put(item("later", 30))
            async for page in super().pages():
                yield page

    listing = Slow([item("changed", 5), item("deleted", 8), item("later", 7)], version=20)
    await watched.store.sweep(cast(KubeClient, listing), "here")
    assert (watched.image("changed"), watched.image("deleted"), watched.image("lost")) == ("image:5", "image:8", None)
    assert watched.image("later") == "image:30", "the watch is ahead of this list"


async def test_the_same_state_is_read_again_when_its_definition_has_changed() -> None:
    watched = Watched()
    watched.store.put(item())
    watched.called.clear()
    known = item()
    await watched.store.sweep(cast(KubeClient, Listing([known])), "here", again=True)
    assert watched.called == [], "nothing is other than before"
    other = item() | {"spec": {"image": "other"}}
    await watched.store.sweep(cast(KubeClient, Listing([other])), "here")
    assert watched.image("one") != "other"
    await watched.store.sweep(cast(KubeClient, Listing([other])), "here", again=True)
    assert (watched.image("one"), watched.called) == ("other", ["one"])


async def test_what_goes_during_a_sweep_does_not_come_back() -> None:
    watched = Watched()

    class Slow(Listing):
        async def pages(self, *_: Any) -> AsyncGenerator[dict[str, Any]]:
            yield {"metadata": {"resourceVersion": "9"}, "items": [item("early")]}
            for name in ("early", "late"):
                feed(watched.store, {"type": "DELETED", "object": item(name)})
            yield {"metadata": {"resourceVersion": "9"}, "items": [item("late"), item("kept")]}

    watched.store.put(item("late"))
    await watched.store.sweep(cast(KubeClient, Slow()), "here")
    assert [each.metadata.name for each in watched.store] == ["kept"]
    # One of the same name that is made afterwards counts.
    await watched.store.sweep(cast(KubeClient, Listing([item("late", 9, uid="new")])), "here")
    assert [each.metadata.uid for each in watched.store] == ["new"]


@pytest.mark.parametrize(
    "failure", [ApiError(503, "", ""), aiohttp.ClientError(), TimeoutError(), ConnectionRefusedError(), ValueError()]
)
async def test_a_sweep_that_fails_is_repeated(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(BaseException):
        pass

    pauses: list[float] = []

    async def pause(seconds: float, _: asyncio.Event) -> bool:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise Enough
        return False

    monkeypatch.setattr(module, "pause", pause)
    watched = Watched()
    sweeper = Sweeper(cast(KubeClient, Listing(failure, [item()], [item()])), "here", [watched.store])
    assert not sweeper.synced
    with pytest.raises(Enough):
        await sweeper.run()
    assert sweeper.synced
    await sweeper.wait_synced()
    assert watched.called == ["one"]
    # Whether the first list was from the past shows in the second.
    assert pauses[0] < pauses[1] < pauses[2] == Sweeper.INTERVAL


async def test_a_list_that_is_refused_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(BaseException):
        pass

    async def pause(_: float, __: asyncio.Event) -> bool:
        if not asked.answers:
            raise Enough
        return False

    monkeypatch.setattr(module, "pause", pause)
    first, second = Watched(), Watched()
    asked = Listing(ApiError(403, "", ""), [item()], [item()], [item("two")])
    sweeper = Sweeper(cast(KubeClient, asked), "here", [first.store, second.store])
    with pytest.raises(Enough):
        await sweeper.run()
    assert (first.called, second.called) == (["one"], ["one", "two", "one"])
    assert sweeper.synced, "each has been read, and the second once more"

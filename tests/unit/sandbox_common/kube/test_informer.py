"""The informer against API servers that refuse, break and forget watches."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import orjson
import pytest

from sandbox_common.kube import ApiError, Informer, KubeClient, KubeObject, Resource
from sandbox_common.kube import informer as module
from sandbox_common.kube.client import Lines
from sandbox_common.kube.resources import PODS

Watch = Exception | list[Any]


def pod(name: str, version: int, **fields: Any) -> KubeObject:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **fields}


def event(kind: str, item: KubeObject) -> KubeObject:
    return {"type": kind, "object": item}


class Open(asyncio.StreamReader):
    """A watch that says no more; `read` is set once somebody listens."""

    def __init__(self, read: asyncio.Event) -> None:
        super().__init__()
        self._read = read

    async def readline(self) -> bytes:
        self._read.set()
        return await super().readline()


class Server:
    """Lists what it is given, and answers the watches one after the other; the last one stays open."""

    def __init__(
        self, *watches: Watch, items: list[KubeObject] | None = None, versions: Sequence[int] = (10, 20)
    ) -> None:
        self.items = items or []
        self.versions = list(versions)
        self.lists = 0
        self.watched_from: list[str] = []
        self._watches = iter(watches)
        self.exhausted = asyncio.Event()

    def next_watches(self, *watches: Watch) -> None:
        """Answer the next ones so."""
        self._watches = iter(watches)

    async def pages(self, _resource: Resource, _namespace: str, **_query: str) -> AsyncGenerator[KubeObject]:
        self.lists += 1
        version = self.versions[min(self.lists, len(self.versions)) - 1]
        known = [
            item for item in self.items if int(item["metadata"]["resourceVersion"]) <= version < item.get("until", 99)
        ]
        yield {"metadata": {"resourceVersion": str(version)}, "items": known}

    @asynccontextmanager
    async def watch(self, _resource: Resource, _namespace: str, **query: str) -> AsyncGenerator[Lines]:
        self.watched_from.append(query["resourceVersion"])
        answer = next(self._watches, None)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            yield Open(self.exhausted)
            return
        reader = asyncio.StreamReader()
        for said in answer:
            reader.feed_data(said if isinstance(said, bytes) else orjson.dumps(said) + b"\n")
        reader.feed_eof()
        yield reader


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each pause was to be; none lasts."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float) -> None:
        asked.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", at_once)
    return asked


async def follow(server: Server, decode: Callable[[KubeObject], Any] = lambda item: item, **more: Any) -> Informer[Any]:
    """An informer that has come to the server's last watch."""
    informer: Informer[Any] = Informer(cast(KubeClient, server), PODS, "n", decode, **more)
    following = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(server.exhausted.wait(), 10)
    finally:
        following.cancel()
    return informer


@pytest.mark.parametrize("code", [403, 429, 500, 503])
async def test_a_refused_watch_is_no_reason_to_list(code: int, pauses: list[float]) -> None:
    server = Server(*[ApiError(code, "", "")] * 4)
    await follow(server)
    assert server.lists == 1
    assert server.watched_from == ["10"] * 5
    assert len(pauses) >= 4
    assert pauses[3] > pauses[0]


async def test_a_watch_that_is_refused_for_long_lists_now_and_then(pauses: list[float]) -> None:
    server = Server(*[ApiError(403, "", "")] * 50)
    await follow(server)
    assert server.lists == 11
    assert 7.5 <= pauses[20] <= 15


async def test_pauses_are_as_long_as_the_server_asks(pauses: list[float]) -> None:
    await follow(Server(ApiError(429, "", "", 7.0)))
    assert pauses[0] == 7


async def test_a_forgotten_watch_lists_once(pauses: list[float]) -> None:
    expired = event("ERROR", {"code": 410, "reason": "Expired"})
    server = Server([event("MODIFIED", pod("one", 15)), expired], items=[pod("one", 9)])
    await follow(server)
    assert server.lists == 2
    server = Server(ApiError(410, "Expired", ""))
    await follow(server)
    assert server.lists == 2
    assert len(pauses) < 10


async def test_a_broken_watch_goes_on_where_it_was(pauses: list[float]) -> None:
    server = Server(
        [event("ADDED", pod("one", 11)), b'{"type": "ADD'],
        aiohttp.ServerDisconnectedError(),
        TimeoutError(),
        [event("DELETED", pod("one", 12)), event("BOOKMARK", pod("", 20))],
        [],
        [event("ERROR", {"code": 500})],
    )
    informer = await follow(server)
    assert server.lists == 1
    assert server.watched_from == ["10", "11", "11", "11", "20", "20", "20"]
    assert len(informer) == 0
    assert all(pause < 1 for pause in pauses)


async def test_what_is_no_event_is_listed_anew(pauses: list[float]) -> None:
    nonsenses: list[Any] = [{}, event("ADDED", {}), event("ADDED", {"metadata": {"resourceVersion": "x"}}), []]
    for nonsense in nonsenses:
        server = Server([nonsense])
        await follow(server)
        assert server.lists == 2
    assert pauses


async def test_one_bad_object_harms_only_itself(pauses: list[float]) -> None:
    errors = {"a": OverflowError("x"), "b": KeyError("x"), "c": RecursionError(), "late": ZeroDivisionError()}

    def decode(item: KubeObject) -> str:
        if item["metadata"]["name"] in errors:
            raise errors[item["metadata"]["name"]]
        return item["metadata"]["name"]

    seen: list[tuple[str, str | None]] = []

    def on_change(name: str, item: str | None) -> None:
        if name == "hated":
            raise OverflowError("date value out of range")
        seen.append((name, item))

    server = Server(
        [event("ADDED", pod("late", 12)), event("ADDED", pod("last", 13))],
        items=[*(pod(name, 5) for name in errors if name != "late"), pod("hated", 5), pod("good", 5)],
    )
    informer = await follow(server, decode, on_change=on_change)
    assert sorted(informer) == ["good", "hated", "last"]
    assert [(name, item) for name, item in seen if item] == [("good", "good"), ("last", "last")]
    assert server.lists == 1
    assert pauses is not None


async def test_it_turns_though_the_server_never_answers(pauses: list[float]) -> None:
    """Liveness goes by that: a new process would not mend the API server."""

    class Gone(Server):
        async def pages(self, _resource: Resource, _namespace: str, **_query: str) -> AsyncGenerator[KubeObject]:
            self.lists += 1
            if self.lists == 3:
                self.exhausted.set()
            raise TimeoutError
            yield {}

    server = Gone()
    informer: Informer[Any] = Informer(cast(KubeClient, server), PODS, "n", lambda item: item)
    informer.turned_at = -1.0
    following = asyncio.create_task(informer.run())
    await asyncio.wait_for(server.exhausted.wait(), 10)
    following.cancel()
    assert informer.turned_at > 0
    assert not informer.synced
    assert pauses


EXPIRED = event("ERROR", {"code": 410, "reason": "Expired"})


async def test_a_list_from_the_past_is_asked_for_again(pauses: list[float]) -> None:
    changed: list[str] = []
    server = Server(
        [event("DELETED", pod("gone", 15)), event("ADDED", pod("new", 18)), EXPIRED],
        items=[pod("gone", 9, until=15), pod("new", 18)],
        versions=(10, 10, 17, 20),
    )

    def on_change(name: str, _: Any) -> None:
        changed.append(name)

    informer = await follow(server, on_change=on_change)
    assert server.lists == 4
    assert server.watched_from == ["10", "20"]
    assert changed == ["gone", "gone", "new"]
    assert [item["metadata"]["name"] for item in informer] == ["new"]
    assert pauses[0] > 0


async def test_an_api_server_that_stays_in_the_past_is_believed(pauses: list[float]) -> None:
    """As one whose etcd has been restored from an older state."""
    server = Server([event("ADDED", pod("lost", 15)), EXPIRED], items=[pod("kept", 5)], versions=(10, 7))
    informer = await follow(server)
    assert server.lists > 5
    assert server.watched_from == ["10", "7"]
    assert [item["metadata"]["name"] for item in informer] == ["kept"]
    assert sum(pauses) > 15


async def test_watches_that_end_at_once_are_not_begun_again_without_a_pause(pauses: list[float]) -> None:
    """Whether in good order or not, and whatever they have said."""
    bookmark = event("BOOKMARK", pod("", 20))
    server = Server(*[[bookmark]] * 20, *[[bookmark, EXPIRED]] * 20)
    await follow(server)
    assert len(pauses) == 40
    assert min(pauses) > 0
    assert all(0.5 <= pause <= 1 for pause in pauses[5:])
    assert server.lists == 21


async def test_a_watch_that_has_lasted_is_begun_again_at_once(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LASTING_SECONDS", 0.0)
    await follow(Server(*[[event("BOOKMARK", pod("", 20))]] * 5))
    assert pauses == [0.0] * 5


async def test_a_quiet_watch_that_is_broken_now_and_then_is_soon_begun_again(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a load balancer that ends connections without traffic, sooner than the next bookmark comes."""
    monkeypatch.setattr(module, "_LASTING_SECONDS", 0.0)
    watches: list[list[bytes]] = [[]] * 20
    await follow(Server(*watches))
    assert len(pauses) == 20
    assert max(pauses) <= 0.1


@pytest.mark.parametrize(
    ("second", "current"),
    [
        ([], True),
        ([event("MODIFIED", pod("a", 10))], True),
        ([event("ADDED", pod("b", 11))], False),
        ([event("ERROR", {"code": 410})], False),
        (ApiError(503, "ServiceUnavailable", ""), False),
        (aiohttp.ClientConnectionError(), False),
    ],
)
async def test_a_second_watch_shows_what_the_first_one_lacks(
    monkeypatch: pytest.MonkeyPatch, second: Watch, current: bool
) -> None:
    monkeypatch.setattr(module, "_CATCH_UP_SECONDS", 0.01)
    server = Server(items=[pod("a", 10)])
    informer: Informer[Any] = Informer(cast(KubeClient, server), PODS, "n", lambda item: item)
    following = asyncio.create_task(informer.run())
    await asyncio.wait_for(server.exhausted.wait(), 10)
    server.next_watches(second)
    assert await informer.is_current() is current
    assert server.watched_from == ["10", "10"]
    following.cancel()

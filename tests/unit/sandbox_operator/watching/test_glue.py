"""kopf's part: credentials and settings. That it really feeds the stores is tried on a real API server."""

import asyncio
import getpass
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
import kopf
import orjson
import pytest
from kubernetes.aio.client import Configuration

from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.watching import glue
from sandbox_operator.watching.store import Store


async def test_credentials_are_those_of_our_client(tmp_path: Path) -> None:
    configuration = Configuration(host="https://198.51.100.1:6443")
    configuration.ssl_ca_cert = str(tmp_path / "ca")
    configuration.api_key["BearerToken"] = "bearer token"
    info = await glue.connection(configuration)
    assert (info.server, info.ca_path, info.token) == ("https://198.51.100.1:6443", str(tmp_path / "ca"), "token")
    assert not info.insecure
    assert info.as_http_headers() == {"Authorization": "Bearer token"}


async def test_a_client_certificate_needs_no_token(tmp_path: Path) -> None:
    configuration = Configuration(host="https://198.51.100.1:6443")
    configuration.cert_file, configuration.key_file = str(tmp_path / "cert"), str(tmp_path / "key")
    info = await glue.connection(configuration)
    assert (info.certificate_path, info.private_key_path) == (str(tmp_path / "cert"), str(tmp_path / "key"))
    assert info.as_http_headers() == {}


@pytest.fixture
def settings() -> kopf.OperatorSettings:
    return glue.settings()


def test_kopf_keeps_nothing_in_objects(settings: kopf.OperatorSettings) -> None:
    body, patch = kopf.Body({"metadata": {}, "spec": {"image": "image"}}), kopf.Patch()
    diffs, progress = settings.persistence.diffbase_storage, settings.persistence.progress_storage
    essence = diffs.build(body=body)
    diffs.store(body=body, patch=patch, essence=essence)
    assert diffs.fetch(body=body) is None
    handler = kopf.HandlerId("handler")
    progress.touch(body=body, patch=patch, value="now")
    progress.purge(key=handler, body=body, patch=patch)
    assert progress.fetch(key=handler, body=body) is None
    assert progress.clear(essence=essence) == essence
    assert not patch


class Stream:
    """A client whose watch says these lines, or refuses, and asks for what it was asked."""

    def __init__(self, *events: dict[str, Any] | Exception) -> None:
        self.events = list(events)
        self.query: dict[str, str] = {}
        self.configuration = Configuration()

    @asynccontextmanager
    async def watch(self, *_: Any, **query: str) -> AsyncGenerator[Self]:
        self.query = query
        yield self

    async def readline(self) -> bytes:
        if not self.events:
            await asyncio.Event().wait()
        event = self.events.pop(0)
        if isinstance(event, Exception):
            raise event
        return orjson.dumps(event)


def made(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}, "spec": {"image": "image"}}


async def bridged(*events: dict[str, Any] | Exception) -> tuple[list[str], dict[str, str]]:
    """Names in a store with `old` after these events, and what was asked for."""
    stream, store = Stream(*events), Store(SANDBOXES, Sandbox, lambda _: None)
    store.put(made("old", 1))
    store.version = 5
    await glue.bridge(cast(KubeClient, stream), "here", store, seconds=0.05)
    return [each.metadata.name for each in store], stream.query


async def test_until_kopf_watches_events_come_from_the_sweep_on() -> None:
    gone = {"type": "DELETED", "object": made("old", 7)}
    assert await bridged({"type": "ADDED", "object": made("new", 6)}, gone) == (["new"], {"resourceVersion": "5"})


@pytest.mark.parametrize(
    "end", [{"type": "ERROR", "object": {"code": 410}}, ApiError(403, "", ""), aiohttp.ClientError(), OSError()]
)
async def test_without_them_kopf_finds_out_later(end: dict[str, Any] | Exception) -> None:
    names, _ = await bridged(end, {"type": "ADDED", "object": made("new", 6)})
    assert names == ["old"]


async def test_kopf_remembers_no_object() -> None:
    memories = glue.NoMemories()
    first = await memories.recall({"metadata": {"uid": "one"}}, noticed_by_listing=True)
    assert await memories.recall({"metadata": {"uid": "one"}}) is not first
    assert not list(memories.iter_all_memories())


def test_kopf_tries_for_ever_and_needs_no_rights_outside_of_its_namespace(settings: kopf.OperatorSettings) -> None:
    backoffs = cast(Iterable[float], settings.networking.error_backoffs)
    for _ in range(2):
        assert len(list(itertools.islice(backoffs, 1000))) == 1000
    assert settings.scanning.disabled
    assert not settings.posting.enabled


def watches(missed: Callable[[], None] = lambda: None) -> glue.Watches:
    sandboxes = Store(SANDBOXES, Sandbox, lambda _: None)
    classes = Store(SANDBOX_CLASSES, SandboxClass, lambda _: None)
    return glue.Watches(cast(KubeClient, Stream()), "here", [sandboxes, classes], lambda: None, missed)


async def test_kopf_runs_for_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    started = asyncio.Event()

    async def login(_: Configuration) -> kopf.ConnectionInfo:
        started.set()
        return kopf.ConnectionInfo(server="http://127.0.0.1:1")

    monkeypatch.setattr(glue, "connection", login)
    kopf_s = watches()
    watching = asyncio.create_task(kopf_s.run())
    # Nobody listens there, so it goes on trying.
    await asyncio.wait([watching, asyncio.create_task(started.wait())], return_when=asyncio.FIRST_COMPLETED)
    assert not watching.done()
    assert kopf_s.alive
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert not kopf_s.alive


async def test_kopf_that_ends_is_begun_again_and_what_it_missed_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[asyncio.Task[None]] = []
    begun = asyncio.Queue[None]()
    missed: list[int] = []

    async def spawn(**_: Any) -> list[asyncio.Task[None]]:
        async def end() -> None:
            raise ValueError("kopf's own trouble")

        last = len(missed) == 2
        tasks[:] = [asyncio.create_task(asyncio.sleep(60) if last else end()), asyncio.create_task(asyncio.sleep(60))]
        begun.put_nowait(None)
        return tasks

    def shortest(*_: float, **__: float) -> float:
        return 0.0

    monkeypatch.setattr(kopf, "spawn_tasks", spawn)
    monkeypatch.setattr(glue, "backoff", shortest)
    kopf_s = watches(lambda: missed.append(1))
    watching = asyncio.create_task(kopf_s.run())
    for _ in range(3):
        await begun.get()
    assert len(missed) == 2
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert all(task.cancelled() for task in tasks)


async def test_no_credentials_are_those_that_kopf_was_refused_with(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def at_once(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(glue.asyncio, "sleep", at_once)
    logins = glue.Logins(Configuration(host="https://198.51.100.1:6443"))
    given = [await logins.next() for _ in range(20)]
    assert len(set(given)) == 20
    assert {info.server for info in given} == {"https://198.51.100.1:6443"}
    # None before the first, and more and more before those that follow soon.
    assert len(pauses) == 19
    assert pauses[0] <= 0.1
    assert 7.5 <= pauses[-1] <= 15

"""Genuine keys of sandboxes that this replica has not heard of yet: no client is told that its new sandbox is gone."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import structlog

from sandbox_gateway.proxy.directory import Endpoint, NoSandbox
from sandbox_gateway.proxy.places import Places
from unit.sandbox_gateway.proxy.asleep import AWAKE, Asleep, assert_refused, settle
from unit.sandbox_gateway.proxy.support import ADDRESS, DOWN, HEADERS, IDLE, KEY, OK, POST, REQUEST, ScriptedWaker, at
from unit.sandbox_gateway.proxy.test_held_websocket import IN_HANDSHAKE, Sleeper, sleeping
from unit.sandbox_gateway.proxy.test_websocket import PATH, auth, closed_with

UNKNOWN = NoSandbox.UNKNOWN


@pytest.mark.parametrize(
    "sent", [REQUEST, REQUEST.replace(b"GET /a", b"HEAD /health"), POST + b"Content-Length: 4\r\n\r\nbody"]
)
async def test_a_request_waits_for_the_news(sent: bytes) -> None:
    replica = Asleep(endpoint=UNKNOWN)
    client = await replica.client(sent)
    assert client.transport.written == b""
    assert replica.directory.news.waiting == {KEY: 1}
    await replica.wake()
    assert client.pool.written().startswith(sent.partition(b"\r\n")[0])
    assert client.pool.written().endswith(sent.rpartition(b"\r\n\r\n")[2])
    await replica.close()


async def test_a_hundred_requests() -> None:
    replica = Asleep(endpoint=UNKNOWN)
    for _ in range(100):
        await replica.client()
    await replica.wake()
    await replica.answer()
    assert [client.transport.written for client in replica.clients] == [OK] * 100
    await replica.close()


async def test_one_that_sleeps_is_woken_then() -> None:
    replica = Asleep(endpoint=UNKNOWN)
    client = await replica.client()
    await replica.wake(IDLE)
    assert client.transport.written == b""
    assert replica.waker.waiting["abc"] == 1
    await replica.wake()
    await replica.answer()
    assert client.transport.written == OK
    await replica.close()


@pytest.mark.parametrize(
    ("endpoint", "status", "words", "retry"),
    [
        (NoSandbox.GONE, 404, "has been deleted", False),
        (DOWN, 503, "is paused", False),
        (UNKNOWN, 503, "does not know the sandbox", True),
    ],
)
async def test_how_it_may_end_otherwise(endpoint: Endpoint | NoSandbox, status: int, words: str, retry: bool) -> None:
    replica = Asleep(endpoint=UNKNOWN)
    client = await replica.client()
    await replica.wake(endpoint)
    assert_refused(client.transport.written, status, words, retry=retry)
    assert not replica.directory.news.waiting.total()
    await replica.close()


async def test_one_that_is_known_to_be_deleted_is_not_waited_for() -> None:
    replica = Asleep(endpoint=NoSandbox.GONE)
    client = await replica.client()
    assert_refused(client.transport.written, 404, "has been deleted", retry=False)
    assert not replica.directory.news.asked
    await replica.close()


async def test_one_too_many() -> None:
    replica = Asleep(endpoint=UNKNOWN, places=Places(per_sandbox=2))
    replica.directory.by_key["another"] = UNKNOWN
    first, _, third = [
        await replica.client(sent) for sent in (REQUEST, REQUEST.replace(KEY.encode(), b"another"), REQUEST)
    ]
    assert_refused(third.transport.written, 503, "Too many requests", retry=True)
    first.transport.lose()
    await settle()
    fourth = await replica.client()
    assert fourth.transport.written == b""
    await replica.wake()
    await replica.answer()
    assert fourth.transport.written == OK
    await replica.close()


async def test_the_end_of_the_gateway_is_the_end_of_waiting() -> None:
    replica = Asleep(endpoint=UNKNOWN)
    client = await replica.client()
    replica.context.draining = True
    replica.context.held_until = asyncio.get_running_loop().time() + 0.02
    for one in list(replica.context.clients):
        one.drain()
    async with asyncio.timeout(5):
        while replica.directory.news.waiting[KEY]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert_refused(client.transport.written, 503, "does not know the sandbox", retry=True)
    await replica.close()


async def test_no_key_is_logged_when_waiting_fails() -> None:
    class Broken(ScriptedWaker):
        async def wake(self, runtime_id: str) -> None:
            raise ValueError

    replica = Asleep(endpoint=UNKNOWN)
    replica.directory.news = Broken()
    with structlog.testing.capture_logs([structlog.processors.format_exc_info]) as logs:
        client = await replica.client()
    assert_refused(client.transport.written, 503, "does not know the sandbox", retry=True)
    [said] = [str(entry) for entry in logs]
    assert "hold_failed" in said
    assert KEY not in said
    await replica.close()


@pytest.mark.parametrize("host", ["abc.box.example", "work-1-abc.box.example", "vscode-abc.box.example"])
@pytest.mark.parametrize(
    "credential", ["X-Session-API-Key: {}", "Authorization: Bearer {}", "Cookie: oh_workspace_session_key={}"]
)
async def test_in_host_mode_a_genuine_key_is_waited_for(host: str, credential: str) -> None:
    replica = Asleep(endpoint=UNKNOWN, base_domain="box.example")
    replica.directory.services = {("work-1", "abc"): AWAKE.address or ADDRESS, ("vscode", "abc"): at("192.0.2.1", 8001)}
    client = await replica.client(f"GET /a HTTP/1.1\r\nHost: {host}\r\n{credential.format(KEY)}\r\n\r\n".encode())
    assert client.transport.written == b""
    await replica.wake()
    await replica.answer()
    assert client.transport.written.startswith(OK[:20])
    await replica.close()


@pytest.mark.parametrize("host", ["abc.box.example", "work-1-abc.box.example"])
@pytest.mark.parametrize("key", ["", "X-Session-API-Key: made-up\r\n", "X-Session-API-Key: key-of-down\r\n"])
async def test_in_host_mode_a_name_is_no_proof(host: str, key: str) -> None:
    replica = Asleep(endpoint=UNKNOWN, base_domain="box.example")
    client = await replica.client(f"GET /a HTTP/1.1\r\nHost: {host}\r\n{key}\r\n".encode())
    assert client.transport.written.startswith(b"HTTP/1.1 404 ")
    assert not replica.directory.news.asked
    await replica.close()


@pytest.fixture
async def late(tmp_path: Path) -> AsyncGenerator[Sleeper]:
    """A sandbox of which its gateway hears late."""
    async with sleeping(tmp_path) as late:
        late.gateway.directory.by_key[KEY] = UNKNOWN
        late.waker = late.gateway.directory.news
        yield late


@pytest.mark.parametrize(("path", "headers"), IN_HANDSHAKE)
async def test_a_handshake_waits(late: Sleeper, path: str, headers: dict[str, str]) -> None:
    opening = asyncio.create_task(late.connect(path, headers))
    await late.waker.has(1, KEY)
    late.wake()
    websocket = await asyncio.wait_for(opening, 5)
    await websocket.send("hello")
    assert await websocket.recv() == "hello"
    await websocket.close()


async def test_a_first_message_waits_with_all_that_follows(late: Sleeper) -> None:
    websocket = await late.named()
    await websocket.send("one")
    await late.waker.has(1, KEY)
    late.wake()
    assert [await websocket.recv() for _ in range(2)] == ["welcome", "one"]
    await websocket.close()


@pytest.mark.parametrize(("endpoint", "status", "code"), [(UNKNOWN, 503, 1013), (NoSandbox.GONE, 404, 1008)])
async def test_a_websocket_of_which_nothing_is_heard(
    late: Sleeper, endpoint: NoSandbox, status: int, code: int
) -> None:
    websocket = await late.connect(PATH)
    await websocket.send(auth(KEY))
    refused = asyncio.create_task(late.refused(PATH, HEADERS, status=status))
    await late.waker.has(2, KEY)
    late.gateway.directory.by_key[KEY] = endpoint
    late.waker.let_go()
    assert await closed_with(websocket) == code
    await refused

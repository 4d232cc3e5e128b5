"""WebSockets between the `websockets` client and uvicorn, through every way of naming the sandbox."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from sandbox_gateway.proxy.context import Bounds
from unit.sandbox_gateway.proxy.support import ADDRESS, DOWN_KEY, GONE_KEY, KEY, Gateway, at, counted, read_head

PATH = "/sockets/events/1?resend_mode=all"
HEADER = {"X-Session-API-Key": KEY}
LARGE = 16 * 1024 * 1024


def auth(key: str) -> str:
    return orjson.dumps({"type": "auth", "session_api_key": key}).decode()


class AgentApp:
    """An ASGI app that takes its key as the agent server does, then echoes; "close N" closes with code N."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.closed_with: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await receive()
        headers = dict(scope["headers"])
        if scope["path"] == "/refused":
            await send({"type": "websocket.close", "code": 4004})
            return
        await send({"type": "websocket.accept"})
        if b"x-session-api-key" not in headers and b"session_api_key" not in scope["query_string"]:
            first = await receive()
            if orjson.loads(first["text"]) != {"type": "auth", "session_api_key": KEY}:
                await send({"type": "websocket.close", "code": 4001})
                return
            await send({"type": "websocket.send", "text": "welcome"})
        while (event := await receive())["type"] == "websocket.receive":
            text = event.get("text") or ""
            if text.startswith("close "):
                await send({"type": "websocket.close", "code": int(text.removeprefix("close ")), "reason": "said so"})
                return
            await send({**event, "type": "websocket.send"})
        self.closed_with.put_nowait(event["code"])


@pytest.fixture
async def agent(gateway: Gateway) -> AgentApp:
    agent = AgentApp()
    await gateway.add_app(agent)
    return agent


@pytest.mark.parametrize("named", ["first message", "query"])
async def test_a_page_gets_no_cookie_of_another_sandbox(gateway: Gateway, agent: AgentApp, named: str) -> None:
    """All sandboxes share the host, and browsers add cookies to WebSockets of any page."""
    path = "/api/conversations/1/workspace/x" + (f"?session_api_key={KEY}" if named == "query" else "")
    cookies = {"Cookie": f"oh_workspace_session_key={DOWN_KEY}; a=b"}
    async with connect(f"ws://127.0.0.1:{gateway.listener.port}{path}", additional_headers=cookies, proxy=None) as page:
        if named != "query":
            await page.send(auth(KEY))
            assert await page.recv() == "welcome"
        await page.send("x")
        assert await page.recv() == "x"
    assert b"cookie" not in dict(agent.scopes[0]["headers"])


def url(gateway: Gateway, path: str = PATH) -> str:
    return f"ws://127.0.0.1:{gateway.listener.port}{path}"


async def authenticated(gateway: Gateway) -> ClientConnection:
    websocket = await connect(url(gateway), max_size=None, proxy=None)
    await websocket.send(auth(KEY))
    assert await websocket.recv() == "welcome"
    return websocket


async def closed_with(websocket: ClientConnection) -> int:
    async with asyncio.timeout(10):
        await websocket.wait_closed()
    assert websocket.close_code is not None
    return websocket.close_code


async def test_the_first_message_names_the_sandbox(gateway: Gateway, agent: AgentApp) -> None:
    websocket = await authenticated(gateway)
    await websocket.send("hello")
    assert await websocket.recv() == "hello"
    await websocket.send(b"\x00\xff")
    assert await websocket.recv() == b"\x00\xff"
    await (await websocket.ping())
    await websocket.close(4321)
    assert await agent.closed_with.get() == 4321
    [scope] = agent.scopes
    assert (scope["raw_path"], scope["query_string"]) == (b"/sockets/events/1", b"resend_mode=all")
    headers = dict(scope["headers"])
    assert websocket.protocol.extensions == []
    assert headers[b"x-forwarded-for"] == b"127.0.0.1"


async def test_open_ones_are_counted(gateway: Gateway, agent: AgentApp) -> None:
    before = counted()
    websocket = await authenticated(gateway)
    assert counted() == {**before, "websockets": (before["websockets"] or 0) + 1}
    await websocket.close()
    await agent.closed_with.get()


async def test_key_in_the_header(gateway: Gateway, agent: AgentApp) -> None:
    async with connect(url(gateway), additional_headers=HEADER, proxy=None) as websocket:
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
        assert websocket.protocol.extensions, "compression is between client and sandbox"


async def test_key_in_the_query(gateway: Gateway, agent: AgentApp) -> None:
    async with connect(url(gateway, f"{PATH}&session_api_key={KEY}"), proxy=None) as websocket:
        await websocket.send("hello")
        assert await websocket.recv() == "hello"
    assert agent.scopes[0]["query_string"] == f"resend_mode=all&session_api_key={KEY}".encode()


async def test_host_mode(tmp_path: Path) -> None:
    async with Gateway(tmp_path, base_domain="box.example") as gateway:
        await gateway.add_app(AgentApp())
        address = f"127.0.0.1:{gateway.listener.port}"
        async with connect(f"ws://abc.box.example{PATH}", host="127.0.0.1", port=gateway.listener.port) as websocket:
            await websocket.send(auth(KEY))
            assert await websocket.recv() == "welcome"
        for host, status in (("down", 503), ("nobody", 404)):
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://{host}.box.example{PATH}", host="127.0.0.1", port=gateway.listener.port)
            assert caught.value.response.status_code == status, address


@pytest.mark.parametrize(("key", "status"), [(DOWN_KEY, 503), (GONE_KEY, 404), ("wrong", 401)])
async def test_a_key_in_the_handshake_is_refused_at_the_handshake(gateway: Gateway, key: str, status: int) -> None:
    for target, headers in ((PATH, {"X-Session-API-Key": key}), (f"{PATH}&session_api_key={key}", {})):
        with pytest.raises(InvalidStatus) as caught:
            await connect(url(gateway, target), additional_headers=headers, proxy=None)
        assert caught.value.response.status_code == status


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (auth(DOWN_KEY), 1013),
        (auth(GONE_KEY), 1008),
        (auth("wrong"), 1008),
        ("not JSON", 1008),
        ('["auth"]', 1008),
        ('{"type": "auth"}', 1008),
        ('{"type": "auth", "session_api_key": 5}', 1008),
        ('{"type": "other", "session_api_key": "key-of-abc"}', 1008),
        (b"binary", 1008),
        ("x" * 65_537, 1009),
        ("x" * 1_000_000, 1009),
        (["x" * 40_000, "x" * 40_000], 1009),
    ],
    ids=repr,
)
async def test_first_messages_that_name_no_sandbox(
    gateway: Gateway, agent: AgentApp, message: str | bytes | list[str], code: int
) -> None:
    websocket = await connect(url(gateway), compression=None, proxy=None)
    with contextlib.suppress(ConnectionClosed):  # an over-long message may meet the refusal before its end
        await websocket.send(message)
    assert await closed_with(websocket) == code
    assert agent.scopes == []


async def test_no_first_message_in_time(tmp_path: Path) -> None:
    async with Gateway(tmp_path, bounds=Bounds(first_message_seconds=0.1)) as gateway:
        websocket = await connect(url(gateway), proxy=None)
        assert await closed_with(websocket) == 1008


async def test_a_client_that_closes_before_its_first_message(gateway: Gateway) -> None:
    websocket = await connect(url(gateway), proxy=None)
    await websocket.close(1001)
    assert await closed_with(websocket) == 1001


async def test_a_first_message_in_fragments_between_pings(gateway: Gateway, agent: AgentApp) -> None:
    websocket = await connect(url(gateway), proxy=None)
    whole = auth(KEY)
    pongs: list[Any] = []

    async def fragments() -> AsyncGenerator[str]:
        for part in (whole[:5], whole[5:]):
            pongs.append(await websocket.ping())
            yield part

    await websocket.send(fragments())
    assert await websocket.recv() == "welcome"
    await asyncio.gather(*pongs)
    await websocket.close()


async def test_messages_right_behind_the_first_one(gateway: Gateway, agent: AgentApp) -> None:
    websocket = await connect(url(gateway), proxy=None)
    await asyncio.gather(websocket.send(auth(KEY)), *(websocket.send(f"{n}") for n in range(500)))
    assert await websocket.recv() == "welcome"
    assert [await websocket.recv() for _ in range(500)] == [f"{n}" for n in range(500)]
    await websocket.close()


async def test_a_sandbox_that_does_not_listen(gateway: Gateway) -> None:
    gateway.directory.add(KEY, "abc", at("127.0.0.1", 1))
    websocket = await connect(url(gateway), proxy=None)
    await websocket.send(auth(KEY))
    assert await closed_with(websocket) == 1013


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 1008),
        (b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n", 1013),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1008),
        (b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n", 1008),
        (b"nonsense\r\n\r\n", 1013),
        (b"", 1013),
    ],
)
async def test_a_sandbox_that_refuses_the_handshake(gateway: Gateway, answer: bytes, code: int) -> None:
    heads: list[bytes] = []
    let_go = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(answer)
        if answer:
            await reader.read(-1)
        let_go.set()

    await gateway.add_raw(upstream)
    websocket = await connect(url(gateway), subprotocols=[Subprotocol("a")], proxy=None)
    await websocket.send(auth(KEY))
    assert await closed_with(websocket) == code
    async with asyncio.timeout(5):
        await let_go.wait()
    [head] = heads
    assert b"sec-websocket-key" in head.lower()
    assert b"sec-websocket-extensions" not in head.lower()
    assert b"sec-websocket-protocol" not in head.lower()


async def test_a_sandbox_that_never_answers_the_handshake(tmp_path: Path) -> None:
    let_go = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        let_go.set()

    async with Gateway(tmp_path, bounds=Bounds(handshake_seconds=0.1)) as gateway, asyncio.timeout(10):
        await gateway.add_raw(upstream)
        websocket = await connect(url(gateway), proxy=None)
        await websocket.send(auth(KEY))
        assert await closed_with(websocket) == 1013
        await let_go.wait()


@pytest.mark.parametrize(
    "fields",
    [
        b"Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: " + base64.b64encode(b"x" * 16) + b"\r\n",
        b"Sec-WebSocket-Key: " + base64.b64encode(b"x" * 16) + b"\r\n",
        b"Sec-WebSocket-Version: 13\r\n",
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
    ],
)
async def test_handshakes_that_are_none(gateway: Gateway, fields: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    assert (await gateway.talk(head + fields + b"\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 4001, 4004])
async def test_close_codes_of_the_sandbox_pass_unchanged(gateway: Gateway, agent: AgentApp, code: int) -> None:
    websocket = await authenticated(gateway)
    await websocket.send(f"close {code}")
    assert await closed_with(websocket) == code
    assert websocket.close_reason == "said so"


async def test_the_agent_servers_own_refusal_of_a_key(gateway: Gateway, agent: AgentApp) -> None:
    gateway.directory.add("known to the gateway only", "abc", gateway.directory.by_id["abc"].address or ADDRESS)
    websocket = await connect(url(gateway), proxy=None)
    await websocket.send(auth("known to the gateway only"))
    assert await closed_with(websocket) == 4001


async def test_large_messages(gateway: Gateway, agent: AgentApp) -> None:
    websocket = await authenticated(gateway)
    message = bytes(range(256)) * (LARGE // 256)
    await websocket.send(message)
    assert await websocket.recv() == message
    await websocket.close()


async def test_a_handshake_that_the_sandbox_refuses_with_the_key_in_the_header(
    gateway: Gateway, agent: AgentApp
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(url(gateway, "/refused"), additional_headers=HEADER, proxy=None)
    assert caught.value.response.status_code == 403

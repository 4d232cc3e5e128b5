"""HTTP over real sockets: who answers, and in which order."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from unit.sandbox_gateway.proxy.memory import MemoryClient
from unit.sandbox_gateway.proxy.support import DOWN_KEY, GONE_KEY, HEADERS, KEY, OK, POST, Gateway, at, echo, read_head


def named(name: str) -> Any:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await echo({**scope, "root_path": name}, receive, send)

    return app


async def test_one_connection_for_several_upstreams(gateway: Gateway) -> None:
    await gateway.add_app(named("one"))
    await gateway.add_app(named("two"), key="key-of-two", runtime_id="two")
    await gateway.add_control_app(named("control"))
    async with httpx.AsyncClient(base_url=gateway.url, limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(2):
            assert (await client.get("/a%2Fb", headers=HEADERS)).headers["x-app"] == "one"
            assert (await client.get("/a", headers={"X-Session-API-Key": "key-of-two"})).headers["x-app"] == "two"
            assert (await client.post("/pause", headers=HEADERS, content=b"x")).headers["x-app"] == "control"
            assert (await client.get("/health")).json() == {"status": "ok"}


async def test_the_platforms_key_goes_to_the_control_plane_only(gateway: Gateway) -> None:
    heads: dict[str, bytes] = {}

    def server(name: str) -> Any:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads[name] = await read_head(reader)
            writer.write(OK)

        return handle

    await gateway.add_raw(server("sandbox"))
    await gateway.add_raw_control(server("control"))
    async with httpx.AsyncClient(base_url=gateway.url, headers={"X-API-Key": "platform"}) as client:
        await client.get("/x", headers=HEADERS)
        await client.get("/list", headers=HEADERS | {"Connection": "X-API-Key"})
    assert b"platform" not in heads["sandbox"]
    assert b"x-api-key: platform\r\n" in heads["control"].lower()


async def test_the_control_plane_is_not_asked_for_a_websocket(gateway: Gateway) -> None:
    heads: list[bytes] = []

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(OK)

    await gateway.add_raw_control(control)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/sessions/one", headers=upgrade)).status_code == 200
    assert b"upgrade" not in heads[0].lower()


@pytest.mark.parametrize(("key", "status"), [(DOWN_KEY, 503), (GONE_KEY, 404), ("wrong", 401), (None, 401)])
async def test_no_sandbox_to_ask(gateway: Gateway, key: str | None, status: int) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        response = await client.get("/api/x", headers={} if key is None else {"X-Session-API-Key": key})
    assert response.status_code == status
    assert response.json()["detail"]


async def test_a_sandbox_that_does_not_listen(gateway: Gateway) -> None:
    gateway.directory.add(KEY, "abc", at("127.0.0.1", 1))
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for response in (await client.get("/x", headers=HEADERS), await client.get("/list")):
            assert response.status_code == 503
            assert response.json()["detail"]


async def test_an_upload_meets_a_refusal(gateway: Gateway) -> None:
    """The client gets to read the refusal although it goes on sending."""
    reader, writer = await gateway.connect()
    writer.write(b"POST /a HTTP/1.1\r\nHost: gw\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(10):
        writer.write(b"x" * 100_000)
        await writer.drain()
    assert (await reader.read(-1)).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_the_body_waits_for_100_continue(gateway: Gateway) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Expect: 100-continue\r\n" in await read_head(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(4) == b"body"
        writer.write(OK)

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert await read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"body")
    assert await reader.readexactly(len(OK)) == OK
    writer.close()


async def test_an_early_refusal_of_a_body(gateway: Gateway) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await writer.drain()
        await reader.read(-1)

    await gateway.add_raw(upstream)
    received = await gateway.talk(POST + b"Content-Length: 900\r\n\r\nonly this much")
    assert received == b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"


async def test_a_hundred_local_answers_in_one_segment(gateway: Gateway) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: gw\r\n\r\n"
    received = await gateway.talk(request * 99 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 100


async def test_a_client_that_does_not_read_its_answers_is_not_read_on() -> None:
    client = MemoryClient()
    request = b"GET /health HTTP/1.1\r\nHost: gw\r\n\r\n"
    client.transport.deliver(request)
    await client.settle()
    once = client.transport.written
    client.transport.block_writes()
    client.transport.deliver(request)
    client.transport.deliver(request)
    await client.settle()
    assert client.transport.written == once
    assert not client.transport.is_reading()
    client.transport.unblock_writes()
    await client.settle()
    assert client.transport.written == once * 3
    await client.close()


async def test_errors_are_json_with_detail(gateway: Gateway) -> None:
    received = await gateway.talk(b"nonsense\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head.split(b"\r\n")
    assert isinstance(orjson.loads(body)["detail"], str)


@pytest.mark.parametrize(("https", "proto"), [(True, b"https"), (False, b"http")])
async def test_upstreams_are_told_how_clients_reach_the_gateway(tmp_path: Path, https: bool, proto: bytes) -> None:
    heads: list[bytes] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(OK)

    async with Gateway(tmp_path, https=https) as gateway:
        await gateway.add_raw(server)
        await gateway.add_raw_control(server)
        async with httpx.AsyncClient(base_url=gateway.url, headers={"X-Forwarded-Proto": "gopher"}) as client:
            await client.get("/x", headers=HEADERS)
            await client.get("/list")
        reader, writer = await gateway.connect()
        key = base64.b64encode(bytes(16)).decode()
        upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}"
        writer.write(f"GET /sockets/x HTTP/1.1\r\nHost: gw\r\n{upgrade}\r\n\r\n".encode())
        await read_head(reader)
        message = orjson.dumps({"type": "auth", "session_api_key": KEY})
        writer.write(bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message)
        await reader.read(-1)
        writer.close()
    assert [head.count(b"X-Forwarded-Proto: " + proto + b"\r\n") for head in heads] == [1, 1, 1]
    assert b"gopher" not in b"".join(heads)

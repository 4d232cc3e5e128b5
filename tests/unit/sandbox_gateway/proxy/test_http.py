"""HTTP over real sockets: streams, disconnects, retries and time-outs."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from sandbox_gateway.proxy.context import Limits
from unit.sandbox_gateway.proxy.support import DOWN_KEY, GONE_KEY, KEY, Gateway, MemoryClient, read_head

HEADERS = {"X-Session-API-Key": KEY}
REQUEST = b"GET /a HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: key-of-abc\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: key-of-abc\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSED = b""


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An ASGI app that answers with its name, or streams the request's body back as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", scope["root_path"].encode())]})
    more = scope["method"] == "POST"
    while more:
        event = await receive()
        more = event.get("more_body", False)
        await send({"type": "http.response.body", "body": event.get("body", b""), "more_body": True})
    await send({"type": "http.response.body", "body": scope["raw_path"]})


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


@pytest.mark.parametrize(("key", "status"), [(DOWN_KEY, 503), (GONE_KEY, 404), ("wrong", 401), (None, 401)])
async def test_no_sandbox_to_ask(gateway: Gateway, key: str | None, status: int) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        response = await client.get("/api/x", headers={} if key is None else {"X-Session-API-Key": key})
    assert response.status_code == status
    assert response.json()["detail"]


async def test_a_sandbox_that_does_not_listen(gateway: Gateway) -> None:
    gateway.directory.add(KEY, "abc", ("127.0.0.1", 1))
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


PIECE = bytes(range(256)) * 256
PIECES = 400  # 26 MB: more than the kernel's buffers on the way hold


def socket_with_small_buffers() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    return sock


async def connect_with_small_buffers(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket_with_small_buffers()
    sock.connect(("127.0.0.1", gateway.listener.port))
    return await asyncio.open_connection(sock=sock)


async def settled(count: Callable[[], int]) -> int:
    """The number at which `count` stops to grow."""
    last = -1
    while count() != last:
        last = count()
        await asyncio.sleep(0.3)
    return last


async def test_a_download_waits_for_a_slow_reader(gateway: Gateway) -> None:
    sent = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()
            sent += 1
        await reader.read(1)

    await gateway.add_raw(upstream)
    reader, writer = await connect_with_small_buffers(gateway)
    writer.write(REQUEST)
    await read_head(reader)
    assert 0 < await settled(lambda: sent) < PIECES
    for _ in range(PIECES):
        assert await reader.readexactly(len(PIECE)) == PIECE
    writer.close()


async def test_an_upload_waits_for_a_slow_sandbox(gateway: Gateway) -> None:
    sent = 0
    read_on = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await read_on.wait()
        for _ in range(PIECES):
            assert await reader.readexactly(len(PIECE)) == PIECE
        writer.write(OK)
        await reader.read(1)

    async def upload(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()
            sent += 1

    await gateway.add_raw(upstream, sock=socket_with_small_buffers())
    reader, writer = await connect_with_small_buffers(gateway)
    writer.write(POST + b"Content-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
    task = asyncio.create_task(upload(writer))
    assert 0 < await settled(lambda: sent) < PIECES
    read_on.set()
    await task
    assert await reader.readexactly(len(OK)) == OK
    writer.close()


async def test_megabytes_both_ways_at_once(gateway: Gateway) -> None:
    await gateway.add_app(echo)
    reader, writer = await gateway.connect()
    writer.write(POST + b"Content-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))

    async def upload() -> None:
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()

    task = asyncio.create_task(upload())
    assert b"Connection: close\r\n" in await read_head(reader), "an answer before its request's end is the last"
    received: list[bytes] = []
    while size := int(await reader.readline(), 16):
        received.append(await reader.readexactly(size))
        assert await reader.readexactly(2) == b"\r\n"
    assert b"".join(received) == PIECE * PIECES + b"/a"
    assert await reader.read(-1) == b"\r\n"
    await task
    writer.close()


async def test_a_download_of_known_length_keeps_it(gateway: Gateway) -> None:
    content = bytes(range(256)) * 40_000

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        length = (b"content-length", b"%d" % len(content))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": content})

    await gateway.add_app(app)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        response = await client.get("/file", headers=HEADERS)
    assert response.headers["content-length"] == str(len(content))
    assert response.content == content


async def test_events_arrive_as_they_are_sent(gateway: Gateway) -> None:
    go_on = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"second"})

    await gateway.add_app(app)
    async with (
        httpx.AsyncClient(base_url=gateway.url) as client,
        client.stream("GET", "/events", headers=HEADERS) as response,
    ):
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"first"
        go_on.set()
        assert await anext(chunks) == b"second"


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


async def test_a_client_that_leaves_closes_the_upstream(gateway: Gateway) -> None:
    started, left = asyncio.Event(), asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        started.set()
        assert await reader.read(1) == CLOSED
        left.set()

    await gateway.add_raw(upstream)
    _, writer = await gateway.connect()
    writer.write(REQUEST)
    await started.wait()
    writer.close()
    async with asyncio.timeout(5):
        await left.wait()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nCont", b"SSH-2.0-x\r\n", OK[:-2].replace(b"2", b"x")])
async def test_an_upstream_that_breaks_off_before_its_head(gateway: Gateway, answer: bytes) -> None:
    connections = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_head(reader)
        writer.write(answer)

    await gateway.add_raw(upstream)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        response = await client.get("/x", headers=HEADERS)
    assert response.status_code == 502
    assert response.json()["detail"] == "Sandbox abc broke off before it answered."
    assert connections == 1, "a new connection is no reason to try again"


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"X: " + b"a" * 70_000 + b"\r\n",
    ],
)
async def test_a_response_with_bad_framing(gateway: Gateway, fields: bytes) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n5\r\nhello\r\n0\r\n\r\n")
        await reader.read(-1)

    await gateway.add_raw(upstream)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/x", headers=HEADERS)).status_code == 502


async def test_switching_protocols_unasked(gateway: Gateway) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await reader.read(-1)

    await gateway.add_raw(upstream)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/x", headers=HEADERS)).status_code == 502


@pytest.mark.parametrize("fields", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_an_upstream_that_breaks_off_in_its_body(gateway: Gateway, fields: bytes) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n5\r\nhe")

    await gateway.add_raw(upstream)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/x", headers=HEADERS)


async def test_a_break_where_a_close_would_look_like_the_end_resets(gateway: Gateway) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")

    await gateway.add_raw(upstream)
    with pytest.raises(ConnectionResetError):
        await gateway.talk(REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"))


class Stale:
    """Answers the first request of a connection, and closes it at the second one without an answer."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await read_head(reader))
        writer.write(OK)
        await read_head(reader)


@pytest.mark.parametrize(
    ("method", "content", "status"),
    [
        ("GET", None, 200),
        ("HEAD", None, 200),
        ("OPTIONS", None, 200),
        ("DELETE", None, 502),
        ("POST", b"", 502),
        ("GET", b"body", 502),
    ],
)
async def test_one_retry_where_it_can_do_no_harm(
    gateway: Gateway, method: str, content: bytes | None, status: int
) -> None:
    upstream = Stale()
    await gateway.add_raw(upstream)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/first", headers=HEADERS)).status_code == 200
        response = await client.request(method, "/second", headers=HEADERS, content=content)
        assert response.status_code == status
    assert len(upstream.requests) == (2 if status == 200 else 1)


async def test_no_retry_once_an_answer_began(gateway: Gateway) -> None:
    connections = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_head(reader)
        writer.write(OK)
        await read_head(reader)
        writer.write(b"HTTP/1.1 2")

    await gateway.add_raw(upstream)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/first", headers=HEADERS)).status_code == 200
        assert (await client.get("/second", headers=HEADERS)).status_code == 502
    assert connections == 1


async def test_bytes_behind_a_response_close_its_connection(gateway: Gateway) -> None:
    connections = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_head(reader)
            writer.write(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    await gateway.add_raw(upstream)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for _ in range(3):
            assert (await client.get("/x", headers=HEADERS)).content == b"ok"
    assert connections == 3


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_an_idle_upstream_that_ends_is_not_the_clients_concern(gateway: Gateway, last_words: bytes) -> None:
    end, ended = asyncio.Event(), asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        await end.wait()
        writer.write(last_words)
        writer.write_eof()
        assert await reader.read(-1) == CLOSED
        ended.set()

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(POST + b"\r\n")
    assert await reader.readexactly(len(OK)) == OK
    end.set()
    await ended.wait()
    writer.write(POST + b"\r\n")
    assert await reader.readexactly(len(OK)) == OK
    writer.close()


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


async def test_time_outs_of_a_client(tmp_path: Path) -> None:
    limits = Limits(head_seconds=0.2, idle_seconds=0.1, linger_seconds=0.1)
    async with Gateway(tmp_path, limits=limits) as gateway, asyncio.timeout(10):
        assert await gateway.talk(b"") == CLOSED, "nothing sent"
        late = await gateway.talk(b"GET /health HTTP/1.1\r\nHo")
        assert late.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close\r\n" in late
        once = await gateway.talk(b"GET /health HTTP/1.1\r\nHost: gw\r\n\r\n")
        assert once.startswith(b"HTTP/1.1 200 ")
        assert once.count(b"HTTP/1.1") == 1, "an idle connection is closed without a word"
        again = await gateway.talk(b"GET /health HTTP/1.1\r\nHost: gw\r\n\r\nGET")
        assert again.count(b"HTTP/1.1 408 ") == 1


async def test_a_slow_loris_does_not_move_the_deadline(tmp_path: Path) -> None:
    async with Gateway(tmp_path, limits=Limits(head_seconds=0.3)) as gateway, asyncio.timeout(10):
        reader, writer = await gateway.connect()
        writer.write(b"GET /health HTTP/1.1\r\nHost: gw\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"X: y\r\n")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(drip())
        assert b" 408 " in await reader.readline()
        task.cancel()
        writer.close()


async def test_a_slow_answer_has_no_time_out(tmp_path: Path) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await asyncio.sleep(0.5)
        writer.write(OK)
        await reader.read(1)

    async with Gateway(tmp_path, limits=Limits(head_seconds=0.1, idle_seconds=0.1)) as gateway:
        await gateway.add_raw(upstream)
        reader, writer = await gateway.connect()
        writer.write(REQUEST)
        assert await reader.readexactly(len(OK)) == OK
        writer.close()


async def test_errors_are_json_with_detail(gateway: Gateway) -> None:
    received = await gateway.talk(b"nonsense\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head.split(b"\r\n")
    assert isinstance(orjson.loads(body)["detail"], str)

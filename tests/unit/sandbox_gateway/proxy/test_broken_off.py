"""Either side breaks off: the other one hears the truth, and at most one request is sent again."""

import asyncio

import httpx
import pytest

from unit.sandbox_gateway.proxy.support import (
    HEADERS,
    OK,
    POST,
    REQUEST,
    Gateway,
    read_head,
)

CLOSED = b""


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
        ("DELETE", None, 200),
        ("PUT", b"", 200),
        ("PUT", b"body", 502),
        ("POST", b"", 502),
        ("PATCH", b"", 502),
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

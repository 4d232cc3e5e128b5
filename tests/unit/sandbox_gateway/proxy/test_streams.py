"""Bodies pass as they come, both ways, at the pace of the slower side."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import httpx

from unit.sandbox_gateway.proxy.support import (
    HEADERS,
    OK,
    POST,
    REQUEST,
    Gateway,
    echo,
    read_head,
)

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
        client.stream("GET", "/stream", headers=HEADERS) as response,
    ):
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"first"
        go_on.set()
        assert await anext(chunks) == b"second"

"""Many clients at once that do little: idle ones stay usable, slow ones are ended and in nobody's way."""

import asyncio
from pathlib import Path

import pytest

from sandbox_gateway.process import descriptors
from sandbox_gateway.proxy.context import Bounds
from unit.sandbox_gateway.proxy.support import OK, REQUEST, SWITCHED, UPGRADE, Gateway, read_head

IDLE_CLIENTS = 1000
"""Of each kind. With both ends, and those of the sandbox, in this process, each takes up to four descriptors."""
SLOW_CLIENTS = 200
FIRST_MESSAGE = (
    b"GET /sockets/events/1 HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

type Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def descriptors_enough() -> None:
    assert descriptors.raise_limit() > 8 * IDLE_CLIENTS, "allow this process more open files: ulimit -Hn"


async def sandbox(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers requests; what follows a handshake comes back."""
    while b"upgrade" not in (await read_head(reader)).lower():
        writer.write(OK)
    writer.write(SWITCHED)
    while data := await reader.read(1024):
        writer.write(data)


async def ask(connection: Connection) -> None:
    reader, writer = connection
    writer.write(REQUEST)
    assert await reader.readexactly(len(OK)) == OK


async def echo(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"\x82\x80key.")
    assert await reader.readexactly(6) == b"\x82\x80key."


async def test_idle_connections_stay_usable(gateway: Gateway) -> None:
    await gateway.add_raw(sandbox)
    requests, websockets = list[Connection](), list[Connection]()
    async with asyncio.timeout(60):
        for _ in range(IDLE_CLIENTS):
            requests.append(await gateway.connect())
            await ask(requests[-1])
            websockets.append(await gateway.connect())
            websockets[-1][1].write(UPGRADE)
            assert b" 101 " in await read_head(websockets[-1][0])
        for connection in requests:
            await ask(connection)
        for connection in websockets:
            await echo(connection)
        for _, writer in (*requests, *websockets):
            writer.close()


async def drip(gateway: Gateway, at_once: bytes, drops: bytes) -> bytes:
    """What a client gets that sends these bytes at once and those one by one, for ever."""
    reader, writer = await gateway.connect()
    writer.write(at_once)
    reading = asyncio.create_task(reader.read(-1))
    while not reading.done():
        for drop in drops:
            writer.write(bytes([drop]))
            await asyncio.wait({reading}, timeout=0.05)
            if reading.done():
                break
    writer.close()
    return await reading


@pytest.mark.parametrize(
    ("at_once", "drops", "end"),
    [
        (b"GET /a HTTP/1.1\r\nHost: gw\r\n", b"X: y\r\n", b"HTTP/1.1 408 "),
        (FIRST_MESSAGE, b"\x89\x80key.", b"\x03\xf0the session key did not come in time"),
        (FIRST_MESSAGE + b"\x81\xfe\xff\xffkey.", b"a", b"\x03\xf0the session key did not come in time"),
    ],
    ids=["head", "pings before the first message", "first message"],
)
async def test_slow_clients_are_ended_and_disturb_nobody(
    at_once: bytes, drops: bytes, end: bytes, tmp_path: Path
) -> None:
    bounds = Bounds(head_seconds=1.0, first_message_seconds=1.0, linger_seconds=0.2)
    async with Gateway(tmp_path, bounds=bounds) as gateway, asyncio.timeout(60):
        await gateway.add_raw(sandbox)
        slow = [asyncio.create_task(drip(gateway, at_once, drops)) for _ in range(SLOW_CLIENTS)]
        good = await gateway.connect()
        while any(not task.done() for task in slow):
            await ask(good)
            await asyncio.sleep(0.02)
        good[1].close()
        for got in await asyncio.gather(*slow):
            assert end in got

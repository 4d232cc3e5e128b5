"""Two connections as one, after a switch of protocols."""

import asyncio
from pathlib import Path

from sandbox_gateway.proxy.context import Bounds
from unit.sandbox_gateway.proxy.memory import MemoryClient
from unit.sandbox_gateway.proxy.support import Gateway, counted, read_head

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: key-of-abc\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


async def test_a_tunnel_keeps_the_pace_of_its_slower_side() -> None:
    client = MemoryClient()
    client.transport.deliver(UPGRADE)
    await client.settle()
    upstream = client.pool.opened[0][1]
    client.transport.block_after_next_write = True  # before there is a tunnel
    upstream.deliver(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    for _ in range(2):
        assert not upstream.is_reading()
        client.transport.unblock_writes()
        assert upstream.is_reading()
        client.transport.block_writes()
    upstream.block_writes()
    assert not client.transport.is_reading()
    upstream.unblock_writes()
    assert client.transport.is_reading()
    await client.close()


async def test_either_sides_end_is_the_others(gateway: Gateway) -> None:
    ended = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert await reader.read(-1) == b"to the end"
        writer.write(b"and an answer after it")
        ended.set()

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(UPGRADE)
    await read_head(reader)
    writer.write(b"to the end")
    writer.write_eof()
    async with asyncio.timeout(10):
        assert await reader.read(-1) == b"and an answer after it"
        await ended.wait()
        # Both have ended: nothing is kept for the time that a half-closed one is granted.
        while counted()["websockets"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    writer.close()


async def test_a_half_closed_tunnel_does_not_stay(tmp_path: Path) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await reader.read(-1)
        await asyncio.sleep(30)

    async with Gateway(tmp_path, bounds=Bounds(half_closed_seconds=0.1)) as gateway, asyncio.timeout(5):
        await gateway.add_raw(upstream)
        reader, writer = await gateway.connect()
        writer.write(UPGRADE)
        await read_head(reader)
        writer.write_eof()
        assert await reader.read(-1) == b""
        writer.close()

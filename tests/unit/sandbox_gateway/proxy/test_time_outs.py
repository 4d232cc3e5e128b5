"""How long a client may take, and that an answer may take as long as it likes."""

import asyncio
from pathlib import Path

from sandbox_gateway.proxy.context import Bounds
from unit.sandbox_gateway.proxy.support import (
    OK,
    REQUEST,
    Gateway,
    read_head,
)

CLOSED = b""


async def test_time_outs_of_a_client(tmp_path: Path) -> None:
    bounds = Bounds(head_seconds=0.2, idle_seconds=0.1, linger_seconds=0.1)
    async with Gateway(tmp_path, bounds=bounds) as gateway, asyncio.timeout(10):
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
    async with Gateway(tmp_path, bounds=Bounds(head_seconds=0.3)) as gateway, asyncio.timeout(10):
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

    async with Gateway(tmp_path, bounds=Bounds(head_seconds=0.1, idle_seconds=0.1)) as gateway:
        await gateway.add_raw(upstream)
        reader, writer = await gateway.connect()
        writer.write(REQUEST)
        assert await reader.readexactly(len(OK)) == OK
        writer.close()

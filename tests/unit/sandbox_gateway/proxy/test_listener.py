"""Ending: what is in flight goes on to its end or to the end of the grace time; everything else closes soon."""

import asyncio
import socket

import pytest
from websockets.asyncio.client import connect

from unit.sandbox_gateway.proxy.support import Gateway, read_head

REQUEST = b"GET /a HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: key-of-abc\r\n\r\n"


class Held:
    """A sandbox that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        self.asked.set()
        answering = asyncio.create_task(self.answer.wait())
        leaving = asyncio.create_task(reader.read(1))
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await leaving
        answering.cancel()
        self.left.set()


async def test_requests_end_and_idle_connections_close(gateway: Gateway) -> None:
    held = Held()
    await gateway.add_raw(held)
    idle, idle_writer = await gateway.connect()
    busy, busy_writer = await gateway.connect()
    busy_writer.write(REQUEST)
    await held.asked.wait()
    ending = asyncio.create_task(gateway.listener.shutdown(30))
    async with asyncio.timeout(10):
        assert await idle.read(-1) == b""
        with pytest.raises(ConnectionRefusedError):
            await gateway.connect()
        held.answer.set()
        assert await busy.read(-1) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        busy_writer.close()
        idle_writer.close()
        await ending


async def test_a_connection_in_use_is_told_of_its_last_answer(gateway: Gateway) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_head(reader):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(REQUEST)
    assert b"close" not in await reader.readuntil(b"ok")
    ending = asyncio.create_task(gateway.listener.shutdown(30))
    await asyncio.sleep(0.2)
    async with asyncio.timeout(10):
        writer.write(REQUEST)
        assert await reader.read(-1) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        writer.close()
        await ending


async def test_a_connection_is_kept_for_one_more_request_after_a_long_answer(gateway: Gateway) -> None:
    rest = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await rest.wait()
        writer.write(b"k")
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\no")
    ending = asyncio.create_task(gateway.listener.shutdown(30))
    await asyncio.sleep(0.1)
    rest.set()
    async with asyncio.timeout(10):
        assert await reader.read(1) == b"k"
        writer.write(REQUEST)
        assert await reader.read(-1) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        writer.close()
        await ending


async def test_connections_that_wait_to_be_accepted_are_served(gateway: Gateway) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    await gateway.add_raw(upstream)
    clients: list[socket.socket] = []
    for _ in range(100):  # the event loop does not turn meanwhile
        client = socket.create_connection(("127.0.0.1", gateway.listener.port))
        client.sendall(REQUEST)
        client.setblocking(False)
        clients.append(client)
    ending = asyncio.create_task(gateway.listener.shutdown(30))
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10):
        for client in clients:
            assert (await loop.sock_recv(client, 1000)).startswith(b"HTTP/1.1 200 OK\r\n")
            client.close()
        await ending


async def test_the_end_of_the_grace_time(gateway: Gateway) -> None:
    held = Held()
    await gateway.add_raw(held)
    reader, writer = await gateway.connect()
    writer.write(REQUEST)
    await held.asked.wait()
    async with asyncio.timeout(10):
        await gateway.listener.shutdown(0.05)
        assert await reader.read(-1) == b""
        await held.left.wait()
    writer.close()


async def test_a_websocket_without_a_key_yet_is_told_to_come_back(gateway: Gateway) -> None:
    websocket = await connect(f"ws://127.0.0.1:{gateway.listener.port}/sockets/events/1", proxy=None)
    await gateway.listener.shutdown(5)
    await websocket.wait_closed()
    assert websocket.close_code == 1012


async def test_a_websocket_in_the_middle_of_a_frame_is_cut_on_both_sides(gateway: Gateway) -> None:
    cut = asyncio.Event()
    half = b"\x81\x05he"

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        writer.write(half)
        await reader.read(-1)
        cut.set()

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"))
    await read_head(reader)
    async with asyncio.timeout(10):
        await gateway.listener.shutdown(0.05)
        assert await reader.read(-1) == half
        await cut.wait()
    writer.close()

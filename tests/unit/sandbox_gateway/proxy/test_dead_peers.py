"""Peers that vanish without a word end the connection, whatever it waits for: their kernel does not answer any more."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from sandbox_gateway.proxy import upstream
from unit.sandbox_gateway.proxy.support import OK, POST, REQUEST, Gateway, read_head

_SO_ATTACH_FILTER = 26
_DROP = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
"""The program `return 0` of the Berkeley packet filter: a socket that has it gets no packet, and acknowledges none."""


def vanish(writer: asyncio.StreamWriter) -> None:
    """From now on nothing that is sent to this end of a connection arrives."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(_DROP))
    )


async def vanishes_before_it_has_the_request(gateway: Gateway) -> None:
    async def sandbox(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        vanish(writer)
        writer.write(OK)
        await asyncio.Event().wait()

    await gateway.add_raw(sandbox)
    reader, writer = await gateway.connect()
    async with asyncio.timeout(60):
        writer.write(REQUEST)
        assert await reader.readexactly(len(OK)) == OK
        # On the pooled connection.
        writer.write(POST + b"Content-Length: 4\r\n\r\nbody")
        assert b" 502 " in await reader.readline()
    writer.close()


async def vanishes_while_it_works(gateway: Gateway) -> None:
    async def sandbox(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await asyncio.sleep(0.1)  # until its kernel has acknowledged the request
        vanish(writer)
        await asyncio.Event().wait()

    await gateway.add_raw(sandbox)
    reader, writer = await gateway.connect()
    async with asyncio.timeout(60):
        writer.write(REQUEST)
        assert b" 502 " in await reader.readline()
    writer.close()


async def its_client_vanishes(gateway: Gateway, *, answers: bool) -> None:
    ended, asked = asyncio.Event(), asyncio.Event()

    async def sandbox(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await asyncio.sleep(0.1)
        if answers:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        await reader.read(1)
        ended.set()

    await gateway.add_raw(sandbox)
    _, writer = await gateway.connect()
    async with asyncio.timeout(60):
        writer.write(REQUEST)
        await asked.wait()
        vanish(writer)
        await ended.wait()
    writer.close()


SCENARIOS: tuple[Callable[[Gateway], Awaitable[None]], ...] = (
    vanishes_before_it_has_the_request,
    vanishes_while_it_works,
    partial(its_client_vanishes, answers=True),
    partial(its_client_vanishes, answers=False),
)


async def test_all_end_soon(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at the same time, since each takes seconds."""
    monkeypatch.setattr(upstream, "DEAD_SECONDS", 5)

    async def play(scenario: Callable[[Gateway], Awaitable[None]]) -> None:
        async with Gateway(tmp_path_factory.mktemp("gateway")) as gateway:
            await scenario(gateway)

    async with asyncio.TaskGroup() as group:
        for scenario in SCENARIOS:
            group.create_task(play(scenario))


async def test_all_that_is_needed_is_less_than_two_minutes() -> None:
    with socket.socket() as listening:
        upstream.keep_alive(listening)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
    with accepted:
        idle, between, probes, unacknowledged = (
            accepted.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert idle + between * probes == 105
    assert unacknowledged == 105_000

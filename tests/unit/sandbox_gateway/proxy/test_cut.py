"""A sandbox is suspended: what is under way to it is broken off, truthfully; everything else goes on."""

import asyncio

import orjson
import pytest

from unit.sandbox_gateway.proxy.memory import MemoryClient, MemoryPool, asking, memory_context
from unit.sandbox_gateway.proxy.support import (
    ADDRESS,
    KEY,
    OK,
    POST,
    REQUEST,
    SWITCHED,
    UPGRADE,
    CountingActivity,
    Gateway,
    MemoryDirectory,
    read_head,
)


async def suspend(client: MemoryClient, runtime_id: str = "abc") -> None:
    client.context.flights.cut(runtime_id)
    await client.settle()


async def close(client: MemoryClient) -> None:
    await client.close()
    assert not client.context.clients
    assert all(upstream.closed for _, upstream in client.pool.opened)
    assert isinstance(client.context.activity, CountingActivity)
    assert not client.context.activity.in_flight.total()


def assert_told(written: bytes) -> None:
    head, _, body = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 5" in head
    assert "suspended" in orjson.loads(body)["detail"]


@pytest.mark.parametrize(
    ("sent", "answered", "keeps"),
    [
        (REQUEST, b"", True),
        (POST + b"Content-Length: 4\r\n\r\nbody", b"", True),
        (POST + b"Content-Length: 4\r\n\r\nbo", b"", False),
        (REQUEST, b"HTTP/1.1 200 OK\r\nContent-", True),
        (UPGRADE, b"", True),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), b"", False),
    ],
    ids=["GET", "POST", "half a body", "half a head", "handshake", "HTTP/1.0"],
)
async def test_before_any_answer(sent: bytes, answered: bytes, keeps: bool) -> None:
    client = await asking(sent, answered)
    await suspend(client)
    assert_told(client.transport.written)
    assert client.pool.opened[0][1].closed
    assert client.transport.sent_eof is not keeps
    if keeps:
        client.transport.written = b""
        client.transport.deliver(REQUEST)
        await client.settle()
        client.pool.opened[1][1].deliver(OK)
        await client.settle()
        assert client.transport.written == OK
    await close(client)


async def test_after_an_interim_answer() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    client = await asking(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", interim)
    await suspend(client)
    assert client.transport.written.startswith(interim)
    assert_told(client.transport.written.removeprefix(interim))
    assert client.transport.sent_eof
    await close(client)


async def test_before_the_connection_is_there() -> None:
    class Endless(MemoryPool):
        async def connect(self, address: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            await asyncio.Event().wait()

    client = MemoryClient(memory_context(pool=Endless().pool))
    client.transport.deliver(REQUEST)
    await client.settle()
    await suspend(client)
    assert_told(client.transport.written)
    await close(client)


@pytest.mark.parametrize(
    "answered",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_in_an_answer(answered: bytes) -> None:
    client = await asking(REQUEST + REQUEST, answered)
    await suspend(client)
    assert client.transport.written == answered
    assert client.transport.sent_eof
    assert len(client.pool.opened) == 1, "the next request of this connection is lost with it"
    await close(client)


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_where_a_close_would_look_like_the_end_it_resets(gateway: Gateway, version: bytes) -> None:
    answered = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        answered.set()
        assert await reader.read(-1) == b""

    await gateway.add_raw(upstream)
    talking = asyncio.create_task(gateway.talk(REQUEST.replace(b"HTTP/1.1", version)))
    await answered.wait()
    await asyncio.sleep(0.05)
    gateway.listener.cut("abc")
    with pytest.raises(ConnectionResetError):
        await talking


async def test_a_tunnel_is_the_agent_servers_to_close() -> None:
    client = await asking(UPGRADE, SWITCHED)
    await suspend(client)
    client.transport.deliver(b"hello")
    await client.settle()
    assert client.pool.written().endswith(b"hello")
    assert not client.transport.closed
    await close(client)


async def test_a_request_that_is_over_or_anothers_is_left_alone() -> None:
    client = await asking(REQUEST, OK)
    await suspend(client)
    assert client.transport.written == OK
    client.transport.deliver(REQUEST)
    await client.settle()
    await suspend(client, "other")
    client.pool.opened[-1][1].deliver(OK)
    await client.settle()
    assert client.transport.written == OK * 2
    await close(client)


async def test_the_control_plane_goes_on() -> None:
    client = await asking(b"POST /pause HTTP/1.1\r\nHost: gw\r\n\r\n")
    for runtime_id in ("abc", ""):
        await suspend(client, runtime_id)
    client.pool.opened[0][1].deliver(OK)
    await client.settle()
    assert client.transport.written == OK
    await close(client)


async def test_requests_without_a_key_are_cut_too() -> None:
    """They would hold up the agent server's end as much."""
    directory = MemoryDirectory()
    directory.add(KEY, "abc", ADDRESS)
    client = MemoryClient(memory_context(directory=directory, base_domain="box.example"))
    client.transport.deliver(b"GET / HTTP/1.1\r\nHost: abc.box.example\r\n\r\n")
    await client.settle()
    await suspend(client)
    assert_told(client.transport.written)
    await close(client)

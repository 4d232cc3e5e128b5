"""Each request that counts is told to have begun once, and to have ended once, whatever its end."""

from collections.abc import Awaitable, Callable

import pytest

from unit.sandbox_gateway.proxy.memory import MemoryClient, MemoryPool, asking, memory_context
from unit.sandbox_gateway.proxy.support import OK, POST, REQUEST, SWITCHED, UPGRADE, CountingActivity

PARTIAL = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"


def activity(client: MemoryClient) -> CountingActivity:
    assert isinstance(client.context.activity, CountingActivity)
    return client.context.activity


async def done(client: MemoryClient) -> None:
    client.pool.opened[-1][1].deliver(OK)


async def until_close(client: MemoryClient) -> None:
    client.pool.opened[-1][1].deliver(b"HTTP/1.1 200 OK\r\n\r\nall")
    await client.settle()
    assert activity(client).in_flight["abc"] == 1
    client.pool.opened[-1][1].lose()


async def broken_before(client: MemoryClient) -> None:
    client.pool.opened[-1][1].lose()


async def broken_in(client: MemoryClient) -> None:
    client.pool.opened[-1][1].deliver(PARTIAL)
    await client.settle()
    client.pool.opened[-1][1].lose()


async def malformed(client: MemoryClient) -> None:
    client.pool.opened[-1][1].deliver(b"nonsense\r\n\r\n")


async def lost(client: MemoryClient) -> None:
    client.transport.lose()


async def half_closed(client: MemoryClient) -> None:
    client.transport.end()


async def cut_before(client: MemoryClient) -> None:
    client.context.flights.cut("abc")


async def cut_in(client: MemoryClient) -> None:
    client.pool.opened[-1][1].deliver(PARTIAL)
    await client.settle()
    client.context.flights.cut("abc")


async def gateway_ends(client: MemoryClient) -> None:
    for one in list(client.context.clients):
        one.cut()


type End = Callable[[MemoryClient], Awaitable[None]]


@pytest.mark.parametrize(
    "end",
    [
        done,
        until_close,
        broken_before,
        broken_in,
        malformed,
        lost,
        half_closed,
        cut_before,
        cut_in,
        gateway_ends,
    ],
)
async def test_once_whatever_its_end(end: End) -> None:
    client = await asking()
    assert activity(client).in_flight["abc"] == 1
    await end(client)
    await client.settle()
    assert activity(client).in_flight["abc"] == 0
    await client.close()
    assert activity(client).begun == {"abc": 1}
    assert activity(client).in_flight["abc"] == 0
    assert not activity(client).touched


async def test_a_bad_body_ends_it() -> None:
    client = await asking(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    client.transport.deliver(b"bad\n")
    await client.settle()
    assert activity(client).in_flight["abc"] == 0
    await client.close()


async def test_a_sandbox_that_cannot_be_reached() -> None:
    class Refusing(MemoryPool):
        async def connect(self, address: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise ConnectionRefusedError

    client = MemoryClient(memory_context(pool=Refusing().pool))
    client.transport.deliver(REQUEST)
    await client.settle()
    assert client.transport.written.startswith(b"HTTP/1.1 503 ")
    assert activity(client).begun == {"abc": 1}
    assert activity(client).in_flight["abc"] == 0
    await client.close()


async def test_one_more_attempt_is_the_same_request() -> None:
    client = await asking(answered=OK)
    client.transport.deliver(REQUEST)
    client.pool.opened[0][1].lose()
    await client.settle()
    await done(client)
    await client.settle()
    assert client.transport.written == OK * 2
    assert activity(client).begun == {"abc": 2}
    assert activity(client).in_flight["abc"] == 0
    await client.close()


@pytest.mark.parametrize("answered", [SWITCHED, OK, b"nonsense\r\n\r\n"])
async def test_a_handshake_touches(answered: bytes) -> None:
    client = await asking(UPGRADE)
    assert activity(client).touched == {"abc": 1}
    client.pool.opened[0][1].deliver(answered)
    client.transport.deliver(b"frame")
    await client.settle()
    await client.close()
    assert activity(client).touched == {"abc": 1}
    assert not activity(client).begun


@pytest.mark.parametrize(
    "sent",
    [
        REQUEST.replace(b"/a", b"/health"),
        REQUEST.replace(b"GET /a", b"HEAD /server_info"),
        b"GET /health HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"GET /list HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: key-of-abc\r\n\r\n",
        REQUEST.replace(b"key-of-abc", b"wrong"),
        REQUEST.replace(b"key-of-abc", b"key-of-down"),
    ],
)
async def test_what_does_not_count(sent: bytes) -> None:
    client = await asking(sent)
    if client.pool.opened:
        await done(client)
    await client.settle()
    await client.close()
    assert not activity(client).begun
    assert not activity(client).touched


async def test_many_at_once() -> None:
    context = memory_context()
    clients = [MemoryClient(context) for _ in range(20)]
    for client in clients:
        client.transport.deliver(REQUEST)
    for client in clients:  # an owner's requests take turns
        await client.settle()
    assert activity(clients[0]).in_flight["abc"] == 20
    for client in clients[:10]:
        client.transport.lose()
    await clients[0].settle()
    assert activity(clients[0]).in_flight["abc"] == 10
    for client in clients:
        await client.close()
    assert activity(clients[0]).in_flight["abc"] == 0

"""Requests to an idle sandbox: held, then answered as if it had been awake all along, or refused in time."""

import asyncio

import pytest

from sandbox_gateway.proxy.directory import Endpoint, NoSandbox
from sandbox_gateway.proxy.held_request import READ_AHEAD
from sandbox_gateway.proxy.places import Places
from unit.sandbox_gateway.proxy.asleep import Asleep, assert_refused, settle
from unit.sandbox_gateway.proxy.exchanges import EXCHANGES, Exchange
from unit.sandbox_gateway.proxy.support import (
    ADDRESS,
    IDLE,
    IDLE_FOR_WEBSOCKETS,
    KEY,
    OK,
    PAUSED,
    POST,
    REQUEST,
    ScriptedWaker,
)
from unit.sandbox_gateway.proxy.test_exchanges import outcome


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
async def test_every_exchange_goes_as_if_the_sandbox_had_been_awake(exchange: Exchange) -> None:
    head = exchange.sent.index(b"\r\n\r\n") + 4
    for cut in {head, (head + len(exchange.sent)) // 2, len(exchange.sent)}:
        asleep = Asleep(endpoint=IDLE_FOR_WEBSOCKETS)
        client = await asleep.client(exchange.sent[:cut])
        assert client.transport.written == b""
        assert client.pool.opened == []
        await asleep.wake()
        client.transport.deliver(exchange.sent[cut:])
        await settle()
        expected = b""
        for forwarded, answer in exchange.steps:
            expected += forwarded
            assert client.pool.written() == expected
            client.pool.opened[-1][1].deliver(answer)
            await settle()
        if exchange.upstream_closes:
            client.pool.opened[-1][1].lose()
        await settle()
        assert (client.pool.written(), client.transport.written) == outcome(exchange)
        await asleep.close()


async def test_a_hundred_clients() -> None:
    asleep = Asleep()
    for _ in range(100):
        await asleep.client()
    assert asleep.waker.waiting["abc"] == 100
    await asleep.wake()
    await asleep.answer()
    assert [client.transport.written for client in asleep.clients] == [OK] * 100
    await asleep.close()


async def test_requests_behind_each_other_are_answered_in_order() -> None:
    asleep = Asleep()
    client = await asleep.client(REQUEST + REQUEST.replace(b"/a", b"/b") + REQUEST.replace(b"/a", b"/c"))
    assert asleep.waker.asked["abc"] == 1
    await asleep.wake()
    for path in (b"GET /a ", b"GET /b ", b"GET /c "):
        assert client.pool.written()[client.pool.written().rindex(b"GET ") :].startswith(path)
        client.pool.opened[-1][1].deliver(OK)
        await settle()
    assert client.transport.written == OK * 3
    await asleep.close()


async def test_expect_100_continue() -> None:
    asleep = Asleep()
    client = await asleep.client(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert client.transport.written == b"", "only the sandbox can say whether it wants the body"
    await asleep.wake()
    client.pool.opened[0][1].deliver(b"HTTP/1.1 100 Continue\r\n\r\n")
    await settle()
    assert client.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.transport.deliver(b"body")
    await settle()
    assert client.pool.written().endswith(b"\r\n\r\nbody")
    await asleep.answer()
    assert client.transport.written.endswith(OK)
    await asleep.close()


async def test_expect_100_continue_when_it_does_not_wake() -> None:
    asleep = Asleep()
    client = await asleep.client(POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    await asleep.wake(IDLE)
    assert_refused(client.transport.written, 503, "did not wake in time. It is asleep.", retry=True)
    assert b"Connection: close\r\n" in client.transport.written, "the body may or may not come now"
    await asleep.close()


@pytest.mark.parametrize(
    ("endpoint", "status", "words", "retry"),
    [
        (IDLE, 503, "did not wake in time. It is asleep.", True),
        (PAUSED, 503, "It is paused.", False),
        (NoSandbox.GONE, 404, "has been deleted", False),
    ],
)
async def test_how_it_may_end_otherwise(endpoint: Endpoint | NoSandbox, status: int, words: str, retry: bool) -> None:
    asleep = Asleep()
    client = await asleep.client()
    await asleep.wake(endpoint)
    assert_refused(client.transport.written, status, words, retry=retry)
    assert client.pool.opened == []
    client.transport.written = b""
    asleep.directory.add(KEY, "abc", ADDRESS)
    client.transport.deliver(REQUEST)
    await settle()
    await asleep.answer()
    assert client.transport.written == OK, "the connection can be used on"
    await asleep.close()


async def test_the_end_of_the_time() -> None:
    asleep = Asleep(seconds=0.01)
    client = await asleep.client(REQUEST.replace(b"GET", b"HEAD"))
    async with asyncio.timeout(5):
        while not client.transport.written:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert client.transport.written.startswith(b"HTTP/1.1 503 ")
    assert client.transport.written.endswith(b"\r\n\r\n"), "no body for HEAD"
    assert asleep.places.free
    await asleep.close()


async def test_a_waker_that_fails_leaves_nobody_without_an_answer() -> None:
    class Broken(ScriptedWaker):
        async def wake(self, runtime_id: str) -> None:
            raise ValueError(runtime_id)

    asleep = Asleep()
    asleep.context.waker = Broken()
    client = await asleep.client()
    assert_refused(client.transport.written, 503, "did not wake", retry=True)
    await asleep.close()


@pytest.mark.parametrize(
    "places", [Places(per_sandbox=2), Places(in_all=3), Places(max_bytes=110)], ids=["sandbox", "all", "bytes"]
)
async def test_one_too_many(places: Places) -> None:
    asleep = Asleep(places=places)
    first, second, third = [await asleep.client() for _ in range(3)]
    assert_refused(third.transport.written, 503, "Too many requests", retry=True)
    first.transport.lose()
    await settle()
    fourth = await asleep.client()
    assert fourth.transport.written == b""
    await asleep.wake()
    await asleep.answer()
    assert (second.transport.written, fourth.transport.written) == (OK, OK)
    await asleep.close()


async def test_bytes_that_come_later_are_counted() -> None:
    asleep = Asleep(places=Places(max_bytes=2000))
    client = await asleep.client(POST + b"Content-Length: 5000\r\n\r\n")
    other = await asleep.client()
    client.transport.deliver(b"x" * 1000)
    await settle()
    assert client.transport.written == b""
    client.transport.deliver(b"x" * 1000)
    await settle()
    assert_refused(client.transport.written, 503, "Too many requests", retry=True)
    assert other.transport.written == b""
    await asleep.wake()
    await asleep.answer()
    assert other.transport.written == OK
    await asleep.close()


async def test_a_large_body_stays_with_the_client() -> None:
    asleep = Asleep()
    client = await asleep.client(POST + b"Content-Length: %d\r\n\r\n" % (4 * READ_AHEAD))
    assert client.transport.is_reading()
    client.transport.deliver(b"x" * READ_AHEAD)
    await settle()
    assert not client.transport.is_reading()
    client.transport.deliver(b"x" * 3 * READ_AHEAD)
    await asleep.wake()
    assert client.transport.is_reading()
    assert client.pool.written().endswith(b"\r\n\r\n" + b"x" * 4 * READ_AHEAD)
    await asleep.answer()
    assert client.transport.written == OK
    await asleep.close()


@pytest.mark.parametrize("sent", [REQUEST, POST + b"Content-Length: 9\r\n\r\nbody", REQUEST + REQUEST])
@pytest.mark.parametrize("leave", ["lose", "end"])
async def test_a_client_that_leaves(sent: bytes, leave: str) -> None:
    asleep = Asleep()
    client, other = await asleep.client(sent), await asleep.client()
    assert client.transport.is_reading(), "or nobody would notice"
    getattr(client.transport, leave)()
    await settle()
    assert asleep.waker.waiting["abc"] == 1
    await asleep.wake()
    await asleep.answer()
    assert client.transport.written == b""
    assert len(client.pool.opened) == 1
    assert other.transport.written == OK
    await asleep.close()


async def drain(asleep: Asleep, held_seconds: float) -> None:
    """The gateway is about to end, and holds requests so long yet."""
    asleep.context.draining = True
    asleep.context.held_until = asyncio.get_running_loop().time() + held_seconds
    for one in list(asleep.context.clients):
        one.drain()
    await settle()


async def test_draining_holds_on() -> None:
    asleep = Asleep()
    client = await asleep.client()
    half = await asleep.client(REQUEST[:30])
    await drain(asleep, 60)
    half.transport.deliver(REQUEST[30:])
    await settle()
    assert asleep.waker.waiting["abc"] == 2
    await asleep.wake()
    await asleep.answer()
    for one in (client, half):
        assert one.transport.written == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert one.transport.sent_eof
    await asleep.close()


async def test_the_end_of_the_grace_time_is_the_end_of_holding() -> None:
    asleep = Asleep()
    client = await asleep.client(POST + b"Content-Length: 9\r\n\r\nbody")
    half = await asleep.client(REQUEST[:30])
    await drain(asleep, 0.05)
    half.transport.deliver(REQUEST[30:])
    async with asyncio.timeout(5):
        while asleep.waker.waiting["abc"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for refused in (client, half):
        assert_refused(refused.transport.written, 503, "did not wake in time", retry=True)
        assert b"Connection: close\r\n" in refused.transport.written
        assert refused.transport.sent_eof
    assert asleep.places.free
    await asleep.close()


async def test_a_client_that_does_not_read_is_held_all_the_same() -> None:
    asleep = Asleep()
    client = await asleep.client()
    client.transport.block_writes()
    await asleep.wake()
    client.transport.unblock_writes()
    await asleep.answer()
    assert client.transport.written == OK
    await asleep.close()

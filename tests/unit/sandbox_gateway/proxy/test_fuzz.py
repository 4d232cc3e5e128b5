"""Whatever comes from either side: no crash, no leak, and upstreams get only what another parser takes for requests."""

import asyncio
from typing import Any

import h11
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.sandbox_gateway.proxy.exchanges import EXCHANGES
from unit.sandbox_gateway.proxy.memory import MemoryClient
from unit.sandbox_gateway.proxy.refusals import REFUSED_CHUNKS, REFUSED_FRAMING, REFUSED_HEADS, framed_request

_TOKENS = [
    *(b"\r\n", b"\n", b"\r\n\r\n", b"GET /a HTTP/1.1\r\n", b"Host: gw\r\n", b"X-Session-API-Key: key-of-abc\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n"),
    *(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Connection: close\r\n", b"X: y\r\n", b" ", b"\x00"),
    *(b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"\x81\x80\x00\x00\x00\x00"),
]
_REQUESTS = [
    *(exchange.sent for exchange in EXCHANGES.values()),
    *(data for _, data in REFUSED_HEADS.values() if len(data) < 1000),
    *(framed_request(fields) for _, fields in REFUSED_FRAMING.values()),
    *(framed_request(b"Transfer-Encoding: chunked\r\n") + data for data in REFUSED_CHUNKS.values()),
]
_RESPONSES = [
    *(answer for exchange in EXCHANGES.values() for _, answer in exchange.steps),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
]


def pieces(whole: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    return st.lists(st.one_of(st.sampled_from(whole), st.sampled_from(_TOKENS), st.binary(max_size=20)), max_size=8)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("client"), st.one_of(st.sampled_from(_REQUESTS), pieces(_REQUESTS).map(b"".join))),
        st.tuples(st.just("upstream"), st.one_of(st.sampled_from(_RESPONSES), pieces(_RESPONSES).map(b"".join))),
        st.tuples(st.sampled_from(["upstream closes", "client blocks", "client unblocks"]), st.just(b"")),
    ),
    max_size=10,
)


async def perform(steps: list[tuple[str, bytes]]) -> list[bytes]:
    """What each upstream connection got."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    client = MemoryClient()
    blocked = False
    for action, data in steps:
        upstream = client.pool.opened[-1][1] if client.pool.opened else None
        if action == "client":
            client.transport.deliver(data)
        elif action == "upstream" and upstream is not None:
            upstream.deliver(data)
        elif action == "upstream closes" and upstream is not None:
            upstream.lose()
        elif action == "client blocks" and not blocked and not client.transport.closed:
            client.transport.block_writes()
            blocked = True
        elif action == "client unblocks" and blocked and not client.transport.closed:
            client.transport.unblock_writes()
            blocked = False
        await client.settle()
    await client.close()
    assert not client.context.clients
    assert all(upstream.closed for _, upstream in client.pool.opened)
    assert not failures
    return [upstream.written for _, upstream in client.pool.opened]


def read_by_h11(data: bytes) -> None:
    """Parse as a server does, request after request. Raises h11.RemoteProtocolError."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(data)
    while (event := server.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Request):
            assert (b"x-forwarded-for", b"127.0.0.1") in list(event.headers)
        if isinstance(event, h11.EndOfMessage):
            server.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()


@settings(max_examples=300, deadline=None)
@given(actions)
def test_any_bytes_in_any_order(steps: list[tuple[str, bytes]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        written = runner.run(perform(steps))
    for data in written:
        if b"\r\nUpgrade: websocket\r\n" not in data:
            read_by_h11(data)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_of_a_client(data: bytes) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(perform([("client", data)])) == []

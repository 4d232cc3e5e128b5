"""Whatever comes from either side: no crash, no leak, and upstreams get only what another parser takes for requests."""

import asyncio

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling
from unit.sandbox_gateway.proxy.exchanges import EXCHANGES
from unit.sandbox_gateway.proxy.oracle import OTHER, Steps, judge, perform
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
        st.tuples(st.sampled_from(OTHER), st.just(b"")),
    ),
    max_size=10,
)


@settings(max_examples=sampling.count(100, 300))
@given(actions)
def test_any_bytes_in_any_order(steps: Steps) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        judge(steps, *runner.run(perform(steps)))


@given(st.binary(max_size=300))
def test_any_bytes_of_a_client(data: bytes) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(perform([("client", data)]))[0] == []

"""Refused requests: one answer, a closed connection, and nothing of them at the upstream."""

import orjson
import pytest

from unit.sandbox_gateway.proxy.memory import MemoryClient
from unit.sandbox_gateway.proxy.refusals import REFUSED_CHUNKS, REFUSED_FRAMING, REFUSED_HEADS, framed_request

GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\nX-Session-API-Key: key-of-abc\r\n\r\n"

REFUSED = REFUSED_HEADS | {name: (status, framed_request(fields)) for name, (status, fields) in REFUSED_FRAMING.items()}


def assert_refused(written: bytes, status: int) -> None:
    head, _, body = written.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in lines
    assert b"Content-Length: %d" % len(body) in lines
    assert orjson.loads(body).keys() == {"detail"}


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
async def test_nothing_is_forwarded(status: int, data: bytes) -> None:
    for cut in (0, *range(1, min(len(data), 120))):
        client = MemoryClient()
        for piece in (data[:cut], data[cut:] + GOOD):
            client.transport.deliver(piece)
            await client.settle()
        assert_refused(client.transport.written, status)
        assert client.transport.sent_eof
        assert client.pool.opened == []
        await client.close()


@pytest.mark.parametrize(("status", "data"), REFUSED.values(), ids=REFUSED)
async def test_a_good_request_before_does_not_help(status: int, data: bytes) -> None:
    client = MemoryClient()
    client.transport.deliver(GOOD + data + GOOD)
    await client.settle()
    forwarded = client.pool.written()
    client.pool.opened[0][1].deliver(b"HTTP/1.1 204 No Content\r\n\r\n")
    await client.settle()
    first, _, rest = client.transport.written.partition(b"\r\n\r\n")
    assert first == b"HTTP/1.1 204 No Content"
    assert_refused(rest, status)
    assert client.pool.written() == forwarded
    await client.close()


@pytest.mark.parametrize("data", REFUSED_CHUNKS.values(), ids=REFUSED_CHUNKS)
async def test_a_bad_chunked_body_ends_both_connections(data: bytes) -> None:
    client = MemoryClient()
    client.transport.deliver(framed_request(b"Transfer-Encoding: chunked\r\n"))
    await client.settle()
    client.transport.deliver(data + GOOD)
    await client.settle()
    assert_refused(client.transport.written, 400)
    assert client.transport.sent_eof
    [(_, upstream)] = client.pool.opened
    assert upstream.closed
    assert b"/good" not in upstream.written
    assert not upstream.written.endswith(b"0\r\n\r\n"), "the upstream must not take the body for complete"
    await client.close()


async def test_a_bad_body_after_the_answer_began_breaks_it_off() -> None:
    client = MemoryClient()
    client.transport.deliver(framed_request(b"Transfer-Encoding: chunked\r\n"))
    await client.settle()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"
    client.pool.opened[0][1].deliver(answer)
    client.transport.deliver(b"bad\nchunk")
    await client.settle()
    assert client.transport.written == answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert client.transport.sent_eof
    assert client.pool.opened[0][1].closed
    await client.close()

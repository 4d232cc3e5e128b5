"""Whatever a sandbox answers, its client gets HTTP: a 502, or an answer that is visibly not complete."""

import asyncio

import h11
import orjson
import pytest

from unit.sandbox_gateway.proxy.bad_answers import CUT_ANSWERS, REFUSED_ANSWERS
from unit.sandbox_gateway.proxy.memory import asking
from unit.sandbox_gateway.proxy.support import OK, POST, REQUEST, Gateway, read_head


def cuts_of(answer: bytes) -> list[int]:
    return [0, *range(1, min(len(answer), 150))]


@pytest.mark.parametrize("answer", REFUSED_ANSWERS.values(), ids=REFUSED_ANSWERS)
async def test_nothing_of_it_reaches_the_client(answer: bytes) -> None:
    for cut in cuts_of(answer):
        client = await asking(REQUEST, answer[:cut])
        client.pool.opened[0][1].deliver(answer[cut:])
        await client.settle()
        head, _, body = client.transport.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 502 ")
        assert orjson.loads(body) == {"detail": "Sandbox abc broke off before it answered."}
        assert client.pool.opened[0][1].closed
        client.transport.written = b""
        client.transport.deliver(REQUEST)
        await client.settle()
        client.pool.opened[1][1].deliver(OK)
        assert client.transport.written == OK, "the client's connection goes on"
        await client.close()


@pytest.mark.parametrize(("answer", "sound"), CUT_ANSWERS.values(), ids=CUT_ANSWERS)
async def test_a_body_that_goes_wrong_is_not_completed(answer: bytes, sound: bytes) -> None:
    for cut in cuts_of(answer):
        client = await asking(REQUEST, answer[:cut])
        client.pool.opened[0][1].deliver(answer[cut:])
        await client.settle()
        written = client.transport.written
        assert written.startswith(sound)
        assert client.transport.sent_eof
        assert client.pool.opened[0][1].closed
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="GET", target="/a", headers=[("Host", "gw")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(written)
        assert isinstance(reader.next_event(), h11.Response)
        assert reader.next_event() is h11.NEED_DATA
        await client.close()


async def test_interim_responses_without_end_pass_at_the_clients_pace() -> None:
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    client = await asking(REQUEST, interim * 100)
    assert client.transport.written == interim * 100
    client.transport.block_writes()
    [(_, upstream)] = client.pool.opened
    assert not upstream.is_reading()
    client.transport.unblock_writes()
    upstream.deliver(OK)
    await client.settle()
    assert client.transport.written == interim * 100 + OK
    await client.close()


@pytest.mark.parametrize("more", [b"evil", OK])
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"GET", OK),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"),
    ],
    ids=["its length", "HEAD", "204", "304"],
)
async def test_more_than_a_response_has_goes_to_nobody(method: bytes, answer: bytes, more: bytes) -> None:
    client = await asking(REQUEST.replace(b"GET", method) + REQUEST, answer + more)
    assert client.transport.written == answer
    assert client.pool.opened[0][1].closed
    client.pool.opened[1][1].deliver(OK)
    assert client.transport.written == answer + OK
    await client.close()


async def test_an_answer_that_nobody_asked_for_closes_its_connection() -> None:
    client = await asking(REQUEST, OK)
    [(_, upstream)] = client.pool.opened
    upstream.deliver(OK)
    await client.settle()
    assert upstream.closed
    client.transport.deliver(REQUEST)
    await client.settle()
    assert client.transport.written == OK
    assert len(client.pool.opened) == 2
    await client.close()


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_bad_request_body_resets_an_answer_that_a_close_would_complete(
    gateway: Gateway, version: bytes
) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(version + b" 200 OK\r\n\r\nhalf")
        assert await reader.read(-1) == b""

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    await reader.readuntil(b"half")
    writer.write(b"no chunk\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read(-1)
    writer.close()

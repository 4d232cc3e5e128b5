"""Every exchange of the table: in memory with every cut of either side's bytes, and once over real sockets."""

import asyncio

import pytest

from unit.sandbox_gateway.proxy.exchanges import EXCHANGES, Exchange
from unit.sandbox_gateway.proxy.memory import MemoryClient
from unit.sandbox_gateway.proxy.support import POST, Gateway


async def play(exchange: Exchange, cut: int | None, *, cut_answers: bool = False) -> tuple[bytes, bytes]:
    """(what upstreams got, what the client got). `cut` divides the client's bytes in two; None into single bytes."""
    client = MemoryClient()
    sent = exchange.sent
    pieces = [sent[i : i + 1] for i in range(len(sent))] if cut is None else [sent[:cut], sent[cut:]]
    answers = iter(exchange.steps)
    expected, answer = next(answers)
    for piece in pieces:
        if piece:
            client.transport.deliver(piece)
        await client.settle()
        while answer and client.pool.written() == expected:
            upstream = client.pool.opened[-1][1]
            for part in [answer[i : i + 1] for i in range(len(answer))] if cut_answers else [answer]:
                upstream.deliver(part)
            more, answer = next(answers, (b"", b""))
            expected += more
            await client.settle()
    if exchange.upstream_closes:
        client.pool.opened[-1][1].lose()
    await client.settle()
    got = client.pool.written(), client.transport.written
    await client.close()
    assert not client.context.clients
    assert all(upstream.closed for _, upstream in client.pool.opened)
    assert sum(entry.sent for entry in client.entries) == len(client.transport.written)
    of_requests = sum(entry.received for entry in client.entries)
    assert of_requests <= len(sent) if client.transport.sent_eof else of_requests == len(sent)
    return got


def outcome(exchange: Exchange) -> tuple[bytes, bytes]:
    return b"".join(forwarded for forwarded, _ in exchange.steps), exchange.received


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
async def test_cut_at_every_byte(exchange: Exchange) -> None:
    for cut in (*range(len(exchange.sent)), None):
        assert await play(exchange, cut) == outcome(exchange), cut


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
async def test_answers_byte_by_byte(exchange: Exchange) -> None:
    assert await play(exchange, 0, cut_answers=True) == outcome(exchange)


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
async def test_over_sockets(exchange: Exchange, gateway: Gateway) -> None:
    got = b""
    steps = iter(exchange.steps)
    expected, answer = next(steps)

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got, expected, answer
        while data := await reader.read(65536):
            got += data
            if got == expected:
                writer.write(answer)
                more, answer = next(steps, (b"", b""))
                expected += more
                if not more and exchange.upstream_closes:
                    return

    await gateway.add_raw(upstream)
    reader, writer = await gateway.connect()
    writer.write(exchange.sent)
    received = await reader.readexactly(len(exchange.received))
    writer.write_eof()
    received += await reader.read(-1)
    writer.close()
    assert (got, received) == outcome(exchange)


@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"Content-Length: 4", b"body"), (b"Transfer-Encoding: chunked", b"4\r\nbody\r\n0\r\n\r\n")],
)
async def test_a_head_and_a_body_that_come_together_go_on_together(framing: bytes, body: bytes) -> None:
    """Each write is a system call, and wakes the agent server."""
    head = POST + framing + b"\r\n\r\n"
    for parts, writes in ([head + body], 1), ([head, body], 2):
        client = MemoryClient()
        for part in parts:
            client.transport.deliver(part)
            await client.settle()
        (_, upstream), *others = client.pool.opened
        assert (upstream.writes, others) == (writes, [])
        assert upstream.written.endswith(body)
        await client.close()

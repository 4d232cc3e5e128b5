"""Held requests over real sockets: where their bytes are, and the end of the gateway."""

import asyncio

import orjson

from sandbox_gateway.proxy.directory import Endpoint
from unit.sandbox_gateway.proxy.support import IDLE, KEY, OK, POST, REQUEST, Gateway, read_head
from unit.sandbox_gateway.proxy.test_streams import PIECE, PIECES, connect_with_small_buffers, settled


async def fall_asleep(gateway: Gateway) -> Endpoint:
    """Gives what the sandbox is when it is awake."""
    awake = gateway.directory.by_id["abc"]
    gateway.directory.put(KEY, IDLE)
    return awake


async def test_a_large_upload_is_left_with_the_client(gateway: Gateway) -> None:
    sent = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for _ in range(PIECES):
            assert await reader.readexactly(len(PIECE)) == PIECE
        writer.write(OK)

    async def upload(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()
            sent += 1

    await gateway.add_raw(upstream)
    awake = await fall_asleep(gateway)
    reader, writer = await connect_with_small_buffers(gateway)
    writer.write(POST + b"Content-Length: %d\r\n\r\n" % (len(PIECE) * PIECES))
    uploading = asyncio.create_task(upload(writer))
    await gateway.waker.has(1)
    assert await settled(lambda: sent) < PIECES
    gateway.directory.put(KEY, awake)
    gateway.waker.let_go()
    await uploading
    assert await reader.readexactly(len(OK)) == OK
    writer.close()


async def test_a_client_that_hangs_up(gateway: Gateway) -> None:
    await gateway.add_raw(lambda _reader, _writer: asyncio.sleep(0))
    await fall_asleep(gateway)
    writers: list[asyncio.StreamWriter] = []
    for sent in (REQUEST, POST + b"Content-Length: 9\r\n\r\nbody", REQUEST + REQUEST):
        _, writer = await gateway.connect()
        writer.write(sent)
        writers.append(writer)
    await gateway.waker.has(3)
    writers[0].close()
    await gateway.waker.has(2)
    writers[1].transport.abort()
    await gateway.waker.has(1)
    writers[2].write_eof()
    await gateway.waker.has(0)


async def test_a_sandbox_wakes_while_the_gateway_ends(gateway: Gateway) -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)

    await gateway.add_raw(upstream)
    awake = await fall_asleep(gateway)
    talking = asyncio.create_task(gateway.talk(REQUEST))
    await gateway.waker.has(1)
    ending = asyncio.create_task(gateway.listener.shutdown(60))
    await asyncio.sleep(0.1)
    assert not talking.done()
    gateway.directory.put(KEY, awake)
    gateway.waker.let_go()
    async with asyncio.timeout(5):
        assert (await talking).startswith(b"HTTP/1.1 200 OK\r\n")
        await ending


async def test_a_sandbox_does_not_wake_before_the_gateway_ends(gateway: Gateway) -> None:
    await gateway.add_raw(lambda _reader, _writer: asyncio.sleep(0))
    await fall_asleep(gateway)
    talking = asyncio.create_task(gateway.talk(REQUEST))
    await gateway.waker.has(1)
    async with asyncio.timeout(5):
        await gateway.listener.shutdown(1)
        head, _, body = (await talking).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 5" in head
    assert "did not wake in time" in orjson.loads(body)["detail"]

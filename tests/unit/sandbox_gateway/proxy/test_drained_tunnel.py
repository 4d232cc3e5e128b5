"""WebSockets of a gateway that ends: each is told to come back, between two frames, and both sides know."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from sandbox_gateway.proxy.context import Bounds
from unit.sandbox_gateway.proxy.memory import MemoryClient
from unit.sandbox_gateway.proxy.support import HEADERS, KEY, SWITCHED, UPGRADE, Gateway, at, read_head

BIG = bytes(range(256)) * (64 * 1024)
RESTART = (1012, "the gateway restarts")


class AgentServer:
    """Runs `script` on each WebSocket, else echoes, and keeps how each was closed."""

    def __init__(self) -> None:
        self.closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.answering = asyncio.Event()
        """Set when a large message has come, and is about to go back."""

    async def serve(self, gateway: Gateway) -> Server:
        server = await serve(self._handle, "127.0.0.1", 0, max_size=None, compression=None)
        gateway.directory.add(KEY, "abc", at(*next(iter(server.sockets)).getsockname()))
        return server

    async def _handle(self, websocket: ServerConnection) -> None:
        try:
            async for message in websocket:
                if message == "fragments":
                    await websocket.send(self._fragments())
                else:
                    if len(message) == len(BIG):
                        self.answering.set()
                    await websocket.send(message)
        except ConnectionClosed:
            pass
        await self.closed.put((websocket.close_code, websocket.close_reason))

    async def _fragments(self) -> AsyncIterator[str]:
        yield "one "
        await self.go_on.wait()
        yield "two"


@pytest.fixture
async def agent_server(gateway: Gateway) -> AsyncIterator[AgentServer]:
    agent_server = AgentServer()
    async with await agent_server.serve(gateway):
        yield agent_server


def websocket_of(gateway: Gateway) -> connect:
    url = f"ws://127.0.0.1:{gateway.listener.port}/sockets/events/1"
    return connect(url, additional_headers=HEADERS, proxy=None, max_size=None)


async def ended(websocket: ClientConnection) -> tuple[int | None, str | None]:
    await websocket.wait_closed()
    return websocket.close_code, websocket.close_reason


async def test_a_quiet_websocket(gateway: Gateway, agent_server: AgentServer) -> None:
    websocket = await websocket_of(gateway)
    await websocket.send("hello")
    assert await websocket.recv() == "hello"
    async with asyncio.timeout(10):
        # It ends as soon as all have gone, long before the time is over.
        await gateway.listener.shutdown(4)
        assert await ended(websocket) == RESTART
        assert await agent_server.closed.get() == RESTART


async def test_both_sides_learn_of_it_in_header_mode(gateway: Gateway, agent_server: AgentServer) -> None:
    websocket = await connect(f"ws://127.0.0.1:{gateway.listener.port}/sockets/events/1", proxy=None)
    await websocket.send(f'{{"type": "auth", "session_api_key": "{KEY}"}}')
    await websocket.recv()
    async with asyncio.timeout(10):
        await gateway.listener.shutdown(4)
        assert await ended(websocket) == RESTART
        assert await agent_server.closed.get() == RESTART


def at_once(_low: float, _high: float) -> float:
    """No spread: every close is due now."""
    return 0.0


async def test_a_message_under_way_arrives_whole(
    gateway: Gateway, agent_server: AgentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", at_once)
    websocket = await websocket_of(gateway)
    await websocket.send("hello")
    assert await websocket.recv() == "hello"
    websocket.transport.pause_reading()
    await websocket.send(BIG)
    await agent_server.answering.wait()
    async with asyncio.timeout(20):
        ending = asyncio.create_task(gateway.listener.shutdown(15))
        await asyncio.sleep(0.2)
        websocket.transport.resume_reading()
        assert await websocket.recv() == BIG
        assert await ended(websocket) == RESTART
        assert await agent_server.closed.get() == RESTART
        await ending


async def test_a_message_in_fragments_is_broken_off_between_two(gateway: Gateway, agent_server: AgentServer) -> None:
    websocket = await websocket_of(gateway)
    await websocket.send("fragments")
    stream = aiter(websocket.recv_streaming())
    assert await anext(stream) == "one "
    async with asyncio.timeout(10):
        await gateway.listener.shutdown(4)
        assert await ended(websocket) == RESTART
        agent_server.go_on.set()
        await agent_server.closed.get()


async def test_they_are_spread(gateway: Gateway, agent_server: AgentServer) -> None:
    websockets = [await websocket_of(gateway) for _ in range(40)]
    loop = asyncio.get_running_loop()
    times: list[float] = []

    async def note(websocket: ClientConnection) -> None:
        assert await ended(websocket) == RESTART
        times.append(loop.time())

    async with asyncio.timeout(20):
        notes = [asyncio.create_task(note(websocket)) for websocket in websockets]
        await gateway.listener.shutdown(4)
        await asyncio.gather(*notes)
    # Forty random moments of two seconds: the middle half of them within 0.2 s has a chance of less than 1e-9.
    assert sorted(times)[30] - sorted(times)[10] > 0.2


def tunnel() -> MemoryClient:
    client = MemoryClient()
    client.transport.deliver(UPGRADE)
    return client


TEXT = Frame(Opcode.TEXT, b"hello").serialize(mask=False)
CLOSE = Frame(Opcode.CLOSE, (1012).to_bytes(2) + b"the gateway restarts").serialize(mask=False)
THEIR_CLOSE = Frame(Opcode.CLOSE, (1000).to_bytes(2)).serialize(mask=False)


async def drained(client: MemoryClient) -> None:
    """Drained with no time to spread over."""
    for one in list(client.context.clients):
        one.drain()
    await client.settle()


@pytest.mark.parametrize("before", range(len(TEXT) + 1))
@pytest.mark.parametrize("with_the_switch", [True, False])
async def test_the_close_frame_stands_between_two_frames(before: int, with_the_switch: bool) -> None:
    client = tunnel()
    await client.settle()
    upstream = client.pool.opened[0][1]
    first = TEXT + TEXT[:before]
    if with_the_switch:
        upstream.deliver(SWITCHED + first)
    else:
        upstream.deliver(SWITCHED)
        upstream.deliver(first)
    await drained(client)
    upstream.deliver(TEXT[before:] + TEXT[:3])
    upstream.deliver(TEXT[3:])
    received = client.transport.written.partition(b"\r\n\r\n")[2]
    whole = TEXT + (TEXT if 0 < before < len(TEXT) else TEXT[:before])
    assert received == whole + CLOSE
    # The other direction stays open for the client's answer.
    answer = Frame(Opcode.CLOSE, (1012).to_bytes(2)).serialize(mask=True)
    client.transport.deliver(answer)
    assert upstream.written.endswith(answer)
    await client.close()


async def test_one_that_the_agent_server_is_closing_is_left_alone() -> None:
    client = tunnel()
    await client.settle()
    upstream = client.pool.opened[0][1]
    upstream.deliver(SWITCHED + THEIR_CLOSE)
    await drained(client)
    assert client.transport.written.endswith(THEIR_CLOSE)
    await client.close()


async def test_one_that_is_no_websocket_passes_until_it_is_cut() -> None:
    client = tunnel()
    await client.settle()
    upstream = client.pool.opened[0][1]
    upstream.deliver(SWITCHED + b"\x8f\xff")
    await drained(client)
    upstream.deliver(b"anything")
    assert client.transport.written.endswith(b"\x8f\xffanything")
    await client.close()


async def test_a_client_that_does_not_close_is_cut(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(SWITCHED)
        await reader.read(-1)
        left.set()

    async with Gateway(tmp_path, bounds=Bounds(close_seconds=0.1)) as gateway, asyncio.timeout(10):
        await gateway.add_raw(upstream)
        reader, writer = await gateway.connect()
        writer.write(UPGRADE)
        await read_head(reader)
        await gateway.listener.shutdown(5)
        assert await reader.read(len(CLOSE)) == CLOSE
        await left.wait()
        writer.close()

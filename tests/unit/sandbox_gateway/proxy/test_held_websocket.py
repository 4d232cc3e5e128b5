"""WebSockets to an idle sandbox: they wake it only where its class says so, and then go on as if it had been awake."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox
from sandbox_gateway.proxy.held_request import READ_AHEAD
from unit.sandbox_gateway.proxy.asleep import Asleep, settle
from unit.sandbox_gateway.proxy.support import IDLE, IDLE_FOR_WEBSOCKETS, KEY, PAUSED, SWITCHED, UPGRADE, Gateway
from unit.sandbox_gateway.proxy.test_websocket import HEADER, PATH, AgentApp, auth, closed_with

NONCE = "AAAAAAAAAAAAAAAAAAAAAA=="
IN_HANDSHAKE: list[tuple[str, dict[str, str]]] = [(PATH, HEADER), (f"{PATH}&session_api_key={KEY}", {})]


class Sleeper:
    """A sandbox that wakes at a WebSocket, behind its gateway."""

    def __init__(self, gateway: Gateway, agent: AgentApp, awake: Endpoint) -> None:
        self.gateway = gateway
        self.agent = agent
        self.waker = gateway.waker
        self._awake = awake

    def wake(self, endpoint: Endpoint | None = None) -> None:
        """Waiting is over; this is how the sandbox is now."""
        self.gateway.directory.put(KEY, endpoint or self._awake)
        self.waker.let_go()

    async def connect(
        self, path: str = PATH, headers: dict[str, str] | None = None, **options: Any
    ) -> ClientConnection:
        host = options.pop("host", "127.0.0.1")
        address = {"host": "127.0.0.1", "port": self.gateway.listener.port}
        options = {"additional_headers": headers, "max_size": None, "proxy": None, **address, **options}
        return await connect(f"ws://{host}{path}", **options)

    async def named(self) -> ClientConnection:
        """The first message names the sandbox."""
        websocket = await self.connect()
        await websocket.send(auth(KEY))
        return websocket

    async def refused(
        self, path: str = PATH, headers: dict[str, str] | None = None, *, status: int = 503, **options: Any
    ) -> InvalidStatus:
        """The handshake is answered with this status."""
        with pytest.raises(InvalidStatus) as caught:
            await self.connect(path, headers, **options)
        assert caught.value.response.status_code == status
        return caught.value


@asynccontextmanager
async def sleeping(directory: Path, **options: Any) -> AsyncGenerator[Sleeper]:
    async with Gateway(directory, **options) as gateway:
        agent = AgentApp()
        await gateway.add_app(agent)
        awake = gateway.directory.by_id["abc"]
        gateway.directory.put(KEY, IDLE_FOR_WEBSOCKETS)
        yield Sleeper(gateway, agent, awake)


@pytest.fixture
async def sleeper(tmp_path: Path) -> AsyncGenerator[Sleeper]:
    async with sleeping(tmp_path) as sleeper:
        yield sleeper


@pytest.mark.parametrize(("path", "headers"), IN_HANDSHAKE)
async def test_a_handshake_is_held(sleeper: Sleeper, path: str, headers: dict[str, str]) -> None:
    opening = asyncio.create_task(sleeper.connect(path, headers))
    await sleeper.waker.has(1)
    assert sleeper.agent.scopes == []
    sleeper.wake()
    websocket = await asyncio.wait_for(opening, 5)
    await websocket.send("hello")
    assert await websocket.recv() == "hello"
    await websocket.close()
    assert sleeper.gateway.activity.touched == {"abc": 1}


async def test_a_first_message_is_held_with_all_that_follows(sleeper: Sleeper) -> None:
    websocket = await sleeper.named()
    await websocket.send("one")
    await sleeper.waker.has(1)
    await websocket.send("two")
    assert not sleeper.gateway.activity.touched
    sleeper.wake()
    assert [await websocket.recv() for _ in range(3)] == ["welcome", "one", "two"]
    await websocket.close(4321)
    assert await sleeper.agent.closed_with.get() == 4321
    assert sleeper.gateway.activity.touched == {"abc": 1}
    assert sleeper.waker.asked == {"abc": 1}


async def test_pings_are_answered_meanwhile(sleeper: Sleeper) -> None:
    """The SDK's client gives a connection up after 20 s without a pong."""
    websocket = await sleeper.named()
    await sleeper.waker.has(1)
    async with asyncio.timeout(5):
        for word in (b"one", b"two"):
            await (await websocket.ping(word))
    sleeper.wake()
    assert await websocket.recv() == "welcome"
    async with asyncio.timeout(5):
        await (await websocket.ping(b"three"))
    await websocket.close()


@pytest.mark.parametrize("endpoint", [IDLE, PAUSED])
async def test_where_it_does_not_wake_it_is_refused(sleeper: Sleeper, endpoint: Endpoint) -> None:
    sleeper.wake(endpoint)
    for path, headers in IN_HANDSHAKE:
        await sleeper.refused(path, headers)
    assert await closed_with(await sleeper.named()) == 1013
    assert not sleeper.waker.asked
    assert not sleeper.gateway.activity.touched, "one that comes back for ever is no activity"


async def test_in_host_mode_only_a_key_in_the_handshake_wakes(tmp_path: Path) -> None:
    host = "abc.box.example"
    async with sleeping(tmp_path, base_domain="box.example") as sleeper:
        await sleeper.refused(host=host)
        assert not sleeper.waker.asked
        opening = asyncio.create_task(sleeper.connect(PATH, HEADER, host=host))
        await sleeper.waker.has(1)
        sleeper.wake()
        websocket = await asyncio.wait_for(opening, 5)
        await websocket.close()
        websocket = await sleeper.connect(host=host)
        await websocket.send(auth(KEY))
        assert await websocket.recv() == "welcome"
        await websocket.close()
        assert sleeper.gateway.activity.touched == {"abc": 1}, "the gateway does not see the key of the second one"


@pytest.mark.parametrize(("endpoint", "code"), [(IDLE_FOR_WEBSOCKETS, 1013), (PAUSED, 1013), (NoSandbox.GONE, 1008)])
async def test_one_that_does_not_wake(sleeper: Sleeper, endpoint: Endpoint | NoSandbox, code: int) -> None:
    websocket = await sleeper.named()
    await sleeper.waker.has(1)
    sleeper.gateway.directory.by_key[KEY] = endpoint
    sleeper.waker.let_go()
    assert await closed_with(websocket) == code
    assert sleeper.agent.scopes == []


async def test_the_end_of_the_time(tmp_path: Path) -> None:
    async with sleeping(tmp_path, bounds=Bounds(wake_hold_seconds=0.05)) as sleeper:
        assert await closed_with(await sleeper.named()) == 1013
        refusal = await sleeper.refused(PATH, HEADER)
        assert refusal.response.headers["Retry-After"] == "5"


async def test_a_client_that_closes_meanwhile(sleeper: Sleeper) -> None:
    websocket = await sleeper.named()
    await sleeper.waker.has(1)
    await websocket.close(1001)
    await sleeper.waker.has(0)
    assert await closed_with(websocket) == 1001


async def test_a_client_that_is_gone_meanwhile(sleeper: Sleeper) -> None:
    websocket = await sleeper.named()
    await sleeper.waker.has(1)
    websocket.transport.abort()
    await sleeper.waker.has(0)


async def test_a_client_that_says_more_than_is_kept() -> None:
    asleep = Asleep(endpoint=IDLE_FOR_WEBSOCKETS)
    handshake = f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n".encode()
    client = await asleep.client(UPGRADE.replace(b"X-Session-API-Key: key-of-abc\r\n", b"")[:-2] + handshake)
    frames = Connection(ConnectionType.CLIENT)
    first = frames.send(TextMessage(auth(KEY)))
    client.transport.deliver(first)
    await client.settle()
    assert asleep.waker.waiting["abc"] == 1
    assert client.transport.is_reading(), "or nobody would notice that it goes"
    large = frames.send(TextMessage("x" * READ_AHEAD))
    client.transport.deliver(large)
    client.transport.deliver(large)
    await client.settle()
    assert not client.transport.is_reading()
    await asleep.wake()
    accept = client.transport.written.partition(b"Sec-WebSocket-Accept: ")[2].partition(b"\r\n")[0]
    client.pool.opened[0][1].deliver(SWITCHED[:-2] + b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept)
    await settle()
    assert client.pool.written().endswith(b"\r\n\r\n" + first + large + large)
    await asleep.close()


async def test_draining_sends_them_to_another_replica(sleeper: Sleeper) -> None:
    websocket = await sleeper.named()
    opening = asyncio.create_task(sleeper.refused(PATH, HEADER))
    await sleeper.waker.has(2)
    await sleeper.gateway.listener.shutdown(5)
    assert await closed_with(websocket) == 1012
    await opening

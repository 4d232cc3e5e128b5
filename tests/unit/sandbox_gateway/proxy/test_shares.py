"""No sandbox takes more of a gateway than its share, and gives it back however things end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from sandbox_gateway.proxy.context import Bounds
from sandbox_gateway.proxy.directory import Endpoint
from sandbox_gateway.proxy.fair import Fair
from sandbox_gateway.proxy.shares import Shares
from unit.sandbox_gateway.proxy.memory import MemoryClient, memory_context
from unit.sandbox_gateway.proxy.support import (
    ADDRESS,
    HEADERS,
    KEY,
    OK,
    REQUEST,
    SWITCHED,
    UPGRADE,
    Gateway,
    MemoryDirectory,
    echo,
    read_head,
)

OTHER_KEY = "key-of-other"
BOUNDS = Bounds(requests_per_sandbox=2, websockets_per_sandbox=2)


def test_shares_are_each_sandboxs_own() -> None:
    owners = Fair(100)
    shares = Shares(2, owners)
    for _ in range(2):
        assert shares.left("a")
        shares.take("a", "owner")
    assert not shares.left("a")
    assert shares.left("b")
    shares.give_back("a", "owner")
    assert shares.left("a")
    shares.give_back("a", "owner")
    assert shares.none_taken
    assert owners.none_taken


def refused(written: bytes) -> str:
    head, _, body = written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 5" in head
    return orjson.loads(body)["detail"]


async def test_one_request_more_is_refused_and_its_connection_goes_on() -> None:
    context = memory_context(bounds=BOUNDS)
    clients = [MemoryClient(context) for _ in range(3)]
    for client in clients:
        client.transport.deliver(REQUEST)
        await client.settle()
    assert "2 requests under way" in refused(clients[2].transport.written)
    assert "gateway.requestsPerSandbox" in refused(clients[2].transport.written)
    assert len(clients[0].pool.opened) == 2
    # One ends, and there is room again, on the connection of the one that was refused.
    clients[0].pool.opened[0][1].deliver(OK)
    clients[2].transport.deliver(REQUEST)
    await clients[2].settle()
    assert not context.requests.left("abc")
    clients[0].pool.opened[0][1].deliver(OK)
    await clients[2].settle()
    assert clients[2].transport.written.endswith(OK.partition(b"\r\n\r\n")[2])
    for client in clients:
        await client.close()
    assert not context.clients


async def test_handshakes_count_as_websockets_from_their_beginning() -> None:
    context = memory_context(bounds=BOUNDS)
    clients = [MemoryClient(context) for _ in range(3)]
    for client in clients:
        client.transport.deliver(UPGRADE)
        await client.settle()
    assert "2 WebSockets open" in refused(clients[2].transport.written)
    assert context.requests.none_taken
    clients[0].pool.opened[0][1].deliver(SWITCHED)
    assert not context.websockets.left("abc")
    # Refused by the agent server, one is none any more.
    clients[0].pool.opened[1][1].deliver(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert context.websockets.left("abc")
    for client in clients:
        await client.close()
    assert not context.clients


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path, bounds=BOUNDS) as gateway:
        yield gateway


async def test_another_sandbox_is_not_affected(gateway: Gateway) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await release.wait()
        writer.write(OK)

    await gateway.add_raw(slow)
    await gateway.add_app(echo, OTHER_KEY, "other")
    talks = [
        asyncio.create_task(gateway.talk(REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
        for _ in range(9)
    ]
    try:
        async with asyncio.timeout(10):
            early, _ = await asyncio.wait(talks, return_when=asyncio.FIRST_COMPLETED)
            assert refused(early.pop().result())
            answer = await gateway.talk(
                REQUEST.replace(b"key-of-abc", OTHER_KEY.encode()).replace(
                    b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
                )
            )
            assert answer.startswith(b"HTTP/1.1 200 ")
    finally:
        release.set()
    answers = await asyncio.gather(*talks)
    assert sorted(answer[9:12] for answer in answers) == [b"200"] * 2 + [b"429"] * 7


async def websocket_server(gateway: Gateway) -> None:
    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        assert scope["type"] == "websocket"
        await receive()  # pyright: ignore
        await send({"type": "websocket.accept"})  # pyright: ignore
        while (await receive())["type"] != "websocket.disconnect":  # pyright: ignore
            pass

    await gateway.add_app(app)


async def by_first_message(gateway: Gateway) -> ClientConnection:
    websocket = await connect(f"ws://127.0.0.1:{gateway.listener.port}/sockets/events/1", proxy=None)
    await websocket.send(f'{{"type": "auth", "session_api_key": "{KEY}"}}')
    return websocket


async def test_websockets_of_both_kinds_share_one_limit(gateway: Gateway) -> None:
    await websocket_server(gateway)
    url = f"ws://127.0.0.1:{gateway.listener.port}/sockets/events/1"
    async with asyncio.timeout(10):
        first = await connect(url, additional_headers=HEADERS, proxy=None)
        second = await by_first_message(gateway)
        pong = await second.ping()
        await pong
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url, additional_headers=HEADERS, proxy=None)
        assert refusal.value.response.status_code == 429
        third = await by_first_message(gateway)
        await third.wait_closed()
        assert (third.close_code, third.close_reason) == (1013, "the sandbox has too many WebSockets open")
        await first.close()
        fourth = await by_first_message(gateway)
        await (await fourth.ping())
        for websocket in (second, fourth):
            await websocket.close()


async def test_an_owner_with_many_sandboxes_leaves_room_for_others() -> None:
    directory = MemoryDirectory()
    for number in range(8):
        directory.put(f"key-{number}", Endpoint(f"sb-{number}", ADDRESS, owner="greedy"))
    directory.put("key-of-other", Endpoint("other", ADDRESS, owner="modest"))
    context = memory_context(directory=directory, bounds=Bounds(connections=8))
    clients = [MemoryClient(context) for _ in range(9)]
    keys = [*(f"key-{number}" for number in range(8)), "key-of-other"]
    for client, key in zip(clients, keys, strict=True):
        client.transport.deliver(REQUEST.replace(b"key-of-abc", key.encode()))
        await client.settle()
    # Three quarters of 8, and none of the others'.
    opened = [len(client.pool.opened) for client in clients]
    assert opened[0] == 7
    assert [bool(client.transport.written) for client in clients] == [False] * 6 + [True] * 2 + [False]
    assert "other owners'" in refused(clients[6].transport.written)
    for client in clients:
        await client.close()
    assert context.owners.none_taken


async def test_websockets_of_an_owner_leave_room_for_others(tmp_path: Path) -> None:
    async with Gateway(tmp_path, bounds=Bounds(connections=4)) as gateway:
        await websocket_server(gateway)
        async with asyncio.timeout(10):
            opened = [await by_first_message(gateway) for _ in range(3)]
            for websocket in opened:
                await (await websocket.ping())
            refused = await by_first_message(gateway)
            await refused.wait_closed()
            assert (refused.close_code, refused.close_reason) == (1013, "the sandbox's owner has too many connections")
            for websocket in opened:
                await websocket.close()
            again = await by_first_message(gateway)
            await (await again.ping())
            await again.close()

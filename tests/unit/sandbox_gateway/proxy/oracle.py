"""Plays both sides against the data plane in memory, and judges what it wrote by another parser, h11."""

import asyncio
from typing import Any

import h11

from unit.sandbox_gateway.proxy.memory import MemoryClient

type Steps = list[tuple[str, bytes]]
"""What happens, in order: ("client" or "upstream", bytes), or one of OTHER with no bytes."""

OTHER = ("upstream closes", "client blocks", "client unblocks")


async def perform(steps: Steps) -> tuple[list[bytes], bytes]:
    """(what each upstream connection got, what the client got)."""
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
    return [upstream.written for _, upstream in client.pool.opened], client.transport.written


def read_requests(data: bytes) -> None:
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


def read_responses(data: bytes) -> None:
    """Parse as a client does that has sent nothing but GET. Raises h11.RemoteProtocolError."""
    while data:
        client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        client.send(h11.Request(method="GET", target="/a", headers=[("Host", "gw"), ("Upgrade", "x")]))
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event in (h11.NEED_DATA, h11.PAUSED) or client.their_state is h11.SWITCHED_PROTOCOL:
                return
        data = client.trailing_data[0]


def judge(steps: Steps, upstreams: list[bytes], client: bytes) -> None:
    """Raises AssertionError or h11.RemoteProtocolError."""
    if any(b"\r\nUpgrade: websocket\r\n" in data for data in upstreams) or b" 101 " in client:
        return  # a tunnel, or a WebSocket's first message: what passes there is not HTTP
    for data in filter(None, upstreams):  # nothing: what came behind a head was malformed
        read_requests(data)
    if not any(b"HEAD" in data for who, data in steps if who == "client"):
        read_responses(client)

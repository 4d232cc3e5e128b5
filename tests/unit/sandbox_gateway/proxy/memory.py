"""Connections in memory: the test delivers what is received and sees what is written, byte by byte."""

import asyncio
import socket
from collections import deque
from typing import Any, cast, override

from sandbox_gateway.proxy.client import ClientConnection
from sandbox_gateway.proxy.context import Bounds, Context
from sandbox_gateway.proxy.meter import Entry
from sandbox_gateway.proxy.proofs import Proofs
from sandbox_gateway.proxy.upstream import Address, Pool, UpstreamConnection
from unit.sandbox_gateway.proxy.support import (
    ADDRESS,
    KEY,
    REQUEST,
    Asking,
    CountingActivity,
    KeptLog,
    MemoryDirectory,
    ScriptedWaker,
)

_SOCKET = socket.socket()
"""Connected to nothing, for its options."""

type Peer = tuple[Any, ...] | None
"""A client's address as its socket tells it; None: it is gone already."""

_PEER = ("127.0.0.1", 40000)


class MemoryTransport(asyncio.Transport):
    """One end of a connection without a network: the test delivers what is received and sees what is written."""

    def __init__(self, protocol: asyncio.Protocol, peer: Peer = _PEER) -> None:
        super().__init__({"peername": peer, "socket": _SOCKET})
        self.written = b""
        self.writes = 0
        self.block_after_next_write = False
        self.closed = False
        self.sent_eof = False
        self.peer_ended = False
        self._protocol = protocol
        self._incoming: deque[bytes] = deque()
        self._reading = True
        self._lost_already = False
        protocol.connection_made(self)

    def deliver(self, data: bytes) -> None:
        self._incoming.append(data)
        self._flush()

    def block_writes(self) -> None:
        """The peer does not read."""
        self._protocol.pause_writing()

    def unblock_writes(self) -> None:
        self._protocol.resume_writing()

    def end(self) -> None:
        """The peer sends no more."""
        self.peer_ended = True
        self._protocol.eof_received()

    def lose(self) -> None:
        """The peer is gone."""
        if not self.closed:
            self.abort()

    def _flush(self) -> None:
        while self._incoming and self._reading and not self.closed:
            self._protocol.data_received(self._incoming.popleft())

    @override
    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        if self.sent_eof or self._lost_already:
            raise RuntimeError("write() after write_eof() or connection_lost()")  # as uvloop does
        if not self.closed:
            self.written += bytes(data)
            self.writes += 1
        if self.block_after_next_write:
            self.block_after_next_write = False
            self.block_writes()

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def write_eof(self) -> None:
        self.sent_eof = True

    @override
    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._lost)

    def _lost(self) -> None:
        self._lost_already = True
        self._protocol.connection_lost(None)

    @override
    def close(self) -> None:
        self.abort()

    @override
    def is_closing(self) -> bool:
        return self.closed

    @override
    def is_reading(self) -> bool:
        return self._reading

    @override
    def pause_reading(self) -> None:
        self._reading = False

    @override
    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().call_soon(self._flush)

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    @override
    def get_write_buffer_size(self) -> int:
        return 0


class MemoryPool:
    """A pool that connects to nothing: every upstream is a MemoryTransport."""

    def __init__(self) -> None:
        self.asking = Asking()
        self.pool = Pool(Proofs(self.asking), self.connect)
        self.opened: list[tuple[Address, MemoryTransport]] = []

    async def connect(self, address: Address) -> UpstreamConnection:
        connection = UpstreamConnection(address)
        self.opened.append((address, MemoryTransport(cast(asyncio.Protocol, connection))))
        return connection

    def written(self) -> bytes:
        """All that any upstream has got."""
        return b"".join(transport.written for _, transport in self.opened)


def memory_context(**fields: Any) -> Context:
    """What the connections of a gateway with one sandbox share, without a network."""
    directory = MemoryDirectory()
    directory.add(KEY, "abc", ADDRESS)
    chosen: dict[str, Any] = {
        "directory": directory,
        "activity": CountingActivity(),
        "waker": ScriptedWaker(),
        "access_log": KeptLog(),
        "pool": MemoryPool().pool,
        "bounds": Bounds(),
        "base_domain": "",
        **fields,
    }
    return Context(control_socket="/control", **chosen)


class MemoryClient:
    """A client's connection of a gateway with one sandbox, without a network."""

    def __init__(self, context: Context | None = None, peer: Peer = _PEER) -> None:
        self.context = context or memory_context()
        self.transport = MemoryTransport(cast(asyncio.Protocol, ClientConnection(self.context)), peer)

    @property
    def entries(self) -> list[Entry]:
        """What the access log has taken."""
        return cast(KeptLog, self.context.access_log).entries

    @property
    def pool(self) -> MemoryPool:
        return cast(Any, self.context.pool.connect).__self__

    async def settle(self) -> None:
        """Let everything that is due happen."""
        for _ in range(6):
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.transport.lose()
        await self.settle()
        self.context.pool.close()
        await self.settle()
        if not self.context.clients:
            assert self.context.requests.none_taken
            assert self.context.websockets.none_taken


async def asking(sent: bytes = REQUEST, answered: bytes = b"") -> MemoryClient:
    """A client whose request the sandbox has, and has answered so far."""
    client = MemoryClient()
    client.transport.deliver(sent)
    await client.settle()
    if answered:
        client.pool.opened[0][1].deliver(answered)
        await client.settle()
    return client

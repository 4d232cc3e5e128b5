"""Connections to agent servers and to the control plane. They stay open between requests."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import cast

from sandbox_gateway.proxy.directory import PodAddress
from sandbox_gateway.proxy.head import ResponseReader
from sandbox_gateway.proxy.proofs import Proofs

type Address = PodAddress | str
"""Of a pod, or the path of a Unix socket."""

CONNECT_SECONDS = 5.0
# uvicorn closes a connection after 5 s without a request; the gateway must not reuse one that is about to be closed.
IDLE_SECONDS = 4.0
IDLE_PER_ADDRESS = 256
DEAD_SECONDS = 105
"""A connection ends after this time without a sign of life of the peer's kernel, and when a live peer accepts no data
for this time."""


class Sink(ABC):
    """The current user of a connection."""

    @abstractmethod
    def response_data(self, data: bytes) -> None: ...

    @abstractmethod
    def upstream_closed(self, *, clean: bool) -> None:
        """The connection has ended; `clean` if the upstream closed it (FIN)."""
        ...

    @abstractmethod
    def upstream_writable(self, *, writable: bool) -> None: ...


class UpstreamConnection:
    """One connection. Without a `sink` it is idle, and then any byte that comes closes it.

    Has the methods of asyncio.Protocol without being one, so that it can be compiled as a native class.
    """

    transport: asyncio.Transport

    def __init__(self, address: Address) -> None:
        self.address = address
        self.sink: Sink | None = None
        self.reader = ResponseReader()
        self.write_paused = False
        self.read_paused = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        sink = self.sink
        if sink is None:
            self.transport.abort()
        else:
            sink.response_data(data)

    def eof_received(self) -> None:
        self._closed(clean=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed(clean=exc is None)

    def pause_writing(self) -> None:
        self.write_paused = True
        if self.sink is not None:
            self.sink.upstream_writable(writable=False)

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.sink is not None:
            self.sink.upstream_writable(writable=True)

    def pause_reading(self) -> None:
        self.read_paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once, without a call to the sink."""
        self.sink = None
        self.transport.abort()

    def _closed(self, *, clean: bool) -> None:
        sink, self.sink = self.sink, None
        self.transport.abort()
        if sink is not None:
            sink.upstream_closed(clean=clean)


async def connect(address: Address) -> UpstreamConnection:
    """A new connection. Raises OSError (with its subclass TimeoutError)."""
    loop, connection = asyncio.get_running_loop(), UpstreamConnection(address)
    protocol = cast(asyncio.Protocol, connection)
    async with asyncio.timeout(CONNECT_SECONDS):
        if isinstance(address, str):
            await loop.create_unix_connection(lambda: protocol, address)
        else:
            await loop.create_connection(lambda: protocol, address.ip, address.port)
            keep_alive(connection.transport.get_extra_info("socket"))
    return connection


class Pool:
    """Idle connections by address. The last one given back is used first; it is the least likely to be closed.

    Addresses of two pods differ even if they have the same IP. It belongs to the running event loop. `connect` makes a
    new connection, which `proofs` must prove to lead to its pod.
    """

    def __init__(self, proofs: Proofs, connect: Callable[[Address], Awaitable[UpstreamConnection]] = connect) -> None:
        self.connect = connect
        self._proofs = proofs
        self._idle: defaultdict[Address, deque[UpstreamConnection]] = defaultdict(deque)
        self._sweep: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def open(self, address: Address) -> UpstreamConnection:
        """A new connection that leads where it should. Raises OSError, with WrongPodError and UnprovenError."""
        connection = await self.connect(address)
        if isinstance(address, str):
            return connection  # a directory of this process
        try:
            await self._proofs.prove(address, connection.transport)
        except BaseException:
            connection.abort()
            raise
        if connection.transport.is_closing():
            raise ConnectionResetError
        return connection

    def take(self, address: Address) -> UpstreamConnection | None:
        """An open idle connection, or None."""
        idle = self._idle.get(address)
        if not idle:
            return None
        oldest = self._loop.time() - IDLE_SECONDS
        while idle:
            connection = idle.pop()
            if connection.idle_since >= oldest and not connection.transport.is_closing():
                return connection
            connection.abort()
        return None

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose exchange ended well."""
        idle = self._idle[connection.address]
        if connection.transport.is_closing() or connection.write_paused or len(idle) >= IDLE_PER_ADDRESS:
            connection.abort()
            return
        connection.sink = None
        connection.idle_since = self._loop.time()
        if connection.read_paused:
            connection.resume_reading()
        idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_SECONDS, self._expire)

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    def _expire(self) -> None:
        oldest = self._loop.time() - IDLE_SECONDS
        for address, idle in list(self._idle.items()):
            while idle and (idle[0].idle_since < oldest or idle[0].transport.is_closing()):
                idle.popleft().abort()
            if not idle:
                del self._idle[address]
        self._sweep = self._loop.call_later(1.0, self._expire) if self._idle else None


def keep_alive(sock: socket.socket) -> None:
    """Notice a dead peer in DEAD_SECONDS. Accepted connections inherit this from a listening socket."""
    probe_seconds = max(1, DEAD_SECONDS // 7)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_SECONDS - 4 * probe_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    # While sent data is not acknowledged, Linux sends no probes but repeats the data for a quarter of an hour.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_SECONDS * 1000)

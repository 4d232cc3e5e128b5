"""Connections to agent servers and to the control plane, kept open between requests."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import cast

from sandbox_gateway.proxy.head import ResponseReader

type Address = tuple[str, int] | str
"""(IP, port), or the path of a Unix socket."""

CONNECT_SECONDS = 5.0
# uvicorn closes a connection that has been idle for 5 s; one that is reused must not be about to be closed.
IDLE_SECONDS = 4.0
IDLE_PER_ADDRESS = 256
DEAD_SECONDS = 105
"""A connection ends after so long without a sign of life of the peer's kernel, and when a live peer takes nothing of
what is sent to it for so long."""


class Sink(ABC):
    """Whoever uses a connection at the moment."""

    @abstractmethod
    def response_data(self, data: bytes) -> None: ...

    @abstractmethod
    def upstream_closed(self, *, clean: bool) -> None:
        """No more bytes will come; `clean` if the upstream said so (FIN). The connection is not usable any more."""
        ...

    @abstractmethod
    def upstream_writable(self, *, writable: bool) -> None: ...


class UpstreamConnection:
    """One connection; without a `sink` it is idle, and anything that then comes closes it.

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
        """Close at once; the sink hears no more."""
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
            await loop.create_connection(lambda: protocol, *address)
            keep_alive(connection.transport.get_extra_info("socket"))
    return connection


class Pool:
    """Idle connections by address, the last one given back first; it is the least likely to be closed by now.

    Of the running event loop. `connect` makes a new one.
    """

    def __init__(self, connect: Callable[[Address], Awaitable[UpstreamConnection]] = connect) -> None:
        self.connect = connect
        self._idle: defaultdict[Address, deque[UpstreamConnection]] = defaultdict(deque)
        self._sweep: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

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
        """Keep a connection whose exchange has ended well."""
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
    """Notice a dead peer in DEAD_SECONDS. Set on a listening socket, it holds for what that accepts."""
    probe_seconds = max(1, DEAD_SECONDS // 7)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_SECONDS - 4 * probe_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, probe_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    # There are no probes while what was sent is not acknowledged: Linux would repeat that for a quarter of an hour.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_SECONDS * 1000)

"""Two connections as one: bytes pass both ways as they come, each side waiting for the other to keep up."""

import asyncio
from typing import override

from sandbox_gateway.metrics import WEBSOCKETS
from sandbox_gateway.proxy.context import Context


class Tunnel:
    """A client and an upstream after a switch of protocols."""

    def __init__(
        self, context: Context, client: asyncio.Transport, upstream: asyncio.Transport, *, paused: tuple[bool, bool]
    ) -> None:
        """Take over both transports; `paused` tells which of (client, upstream) cannot be written to at the moment."""
        self._context = context
        self._open: set[asyncio.Transport] = {client, upstream}
        self._half_closed: asyncio.TimerHandle | None = None
        WEBSOCKETS.inc()
        context.join(self)
        for here, there, there_paused in ((client, upstream, paused[1]), (upstream, client, paused[0])):
            here.set_protocol(_Side(self, here, there))
            if there_paused:
                here.pause_reading()
            else:
                here.resume_reading()

    def drain(self) -> None:
        """Nothing is known of what passes here, so it goes on until it is cut."""

    def cut(self) -> None:
        for transport in list(self._open):
            transport.abort()

    def half_closed(self) -> None:
        if self._half_closed is None:
            seconds = self._context.limits.half_closed_seconds
            self._half_closed = asyncio.get_running_loop().call_later(seconds, self.cut)

    def lost(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
        if not self._open:
            if self._half_closed is not None:
                self._half_closed.cancel()
            WEBSOCKETS.dec()
            self._context.leave(self)


class _Side(asyncio.Protocol):
    def __init__(self, tunnel: Tunnel, here: asyncio.Transport, there: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self._here = here
        self._there = there

    @override
    def data_received(self, data: bytes) -> None:
        self._there.write(data)

    @override
    def eof_received(self) -> bool:
        if not self._there.is_closing():
            self._there.write_eof()
        self._tunnel.half_closed()
        return True

    @override
    def pause_writing(self) -> None:
        self._there.pause_reading()

    @override
    def resume_writing(self) -> None:
        if not self._there.is_closing():
            self._there.resume_reading()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._there.close()
        else:
            self._there.abort()
        self._tunnel.half_closed()
        self._tunnel.lost(self._here)

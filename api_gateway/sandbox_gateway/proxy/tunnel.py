"""A client and an agent server after the switch to WebSocket, as one connection.

Bytes pass both ways as they come, and each side waits for the other to keep up.

When the gateway is about to end, it sends the client a close frame (1012) between two frames of the agent server, and
drops all further frames of it. The client's answering close frame reaches the agent server, which then closes.
"""

import asyncio
import random
from typing import override

from sandbox_gateway.process.metrics import WEBSOCKETS
from sandbox_gateway.process.tallies import TALLIES, Route
from sandbox_gateway.proxy.context import Context
from sandbox_gateway.proxy.frames import Frames
from sandbox_gateway.proxy.linger import end_sending
from sandbox_gateway.proxy.meter import SERVICE_RESTART, Meter

_TALLY = TALLIES[Route.WEBSOCKET]

_SPREAD = 0.5
"""The part of the grace time in which close frames go out, at random moments: so clients do not all reconnect at
once."""
_REASON = b"the gateway restarts"
_CLOSE = b"\x88%c" % (2 + len(_REASON)) + SERVICE_RESTART.to_bytes(2) + _REASON
"""A frame (RFC 6455, section 5.5.1)."""


class Tunnel:
    """Implements `context.Client`."""

    def __init__(
        self,
        context: Context,
        meter: Meter,
        runtime_id: str,
        client: asyncio.Transport,
        upstream: asyncio.Transport,
        *,
        rest: bytes,
        paused: tuple[bool, bool],
    ) -> None:
        """Take over both transports, and a share of the sandbox's WebSockets.

        `rest` are the upstream's first bytes, which the client does not have yet. `paused` says which of (client,
        upstream) cannot be written to at the moment.
        """
        self._context = context
        self._meter = meter
        self._runtime_id = runtime_id
        self._owner = meter.owner
        self._client = client
        self._upstream = upstream
        self._open = {client, upstream}
        self._sending = {client, upstream}
        self._paused: set[asyncio.Transport] = set()
        """The transports whose other side takes nothing more for now."""
        self._frames = Frames()
        self._drain: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None
        WEBSOCKETS.inc()
        context.websockets.take(runtime_id, self._owner)
        context.join(self)
        if rest:
            self._frames.feed(rest)
            self.sends(len(rest))
            client.write(rest)
        client.set_protocol(_FromClient(self, client, upstream))
        upstream.set_protocol(_FromUpstream(self, upstream, client, self._frames))
        for here, there_paused in ((client, paused[1]), (upstream, paused[0])):
            if there_paused:
                self.pause(here)
            else:
                here.resume_reading()
        if context.draining:
            self.drain()

    def drain(self) -> None:
        loop = asyncio.get_running_loop()
        delay = random.uniform(0, self._context.grace_seconds * _SPREAD)  # noqa: S311
        # A WebSocket that opens while the gateway drains gets its close frame before the cut too.
        delay = max(0.0, min(delay, self._context.held_until - loop.time()))
        self._drain = loop.call_later(delay, self._close)

    def cut(self) -> None:
        for transport in list(self._open):
            transport.abort()

    def receives(self, size: int) -> None:
        """This many bytes came from the client."""
        self._meter.received += size
        _TALLY.received += size

    def sends(self, size: int) -> None:
        """This many bytes go to the client."""
        self._meter.sent += size
        _TALLY.sent += size

    def pause(self, transport: asyncio.Transport) -> None:
        """Read nothing from this side until `resume`."""
        self._paused.add(transport)
        transport.pause_reading()

    def resume(self, transport: asyncio.Transport) -> None:
        """Continue to read from this side."""
        self._paused.discard(transport)
        transport.resume_reading()

    def pace(self, transport: asyncio.Transport) -> None:
        """Bytes were read from this side. If the owner has no turn left, continue to read at the next one."""
        if self._context.turns.take(self._owner):
            return
        transport.pause_reading()

        def read_on() -> None:
            if transport not in self._paused and not transport.is_closing():
                transport.resume_reading()

        self._context.turns.wait(self._owner, read_on)

    def sends_no_more(self, transport: asyncio.Transport) -> None:
        """One side has ended its direction. When both have, close."""
        self._sending.discard(transport)
        if self._sending:
            self._end_within(self._context.bounds.half_closed_seconds)
        else:
            self._client.close()
            self._upstream.close()

    def at_boundary(self) -> None:
        """The upstream's last frame has passed completely: send the close frame, and drop further bytes."""
        if self._frames.closing or self._client.is_closing():
            return
        self._meter.closed(SERVICE_RESTART, "")
        self.sends(len(_CLOSE))
        self._client.write(_CLOSE)
        self._upstream.set_protocol(_Dropped(self, self._upstream, self._client))
        self._end_within(self._context.bounds.close_seconds)

    def lost(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
        if not self._open:
            for timer in (self._drain, self._end):
                if timer is not None:
                    timer.cancel()
            WEBSOCKETS.dec()
            self._context.websockets.give_back(self._runtime_id, self._owner)
            self._meter.end()
            self._context.leave(self)

    def _close(self) -> None:
        if len(self._open) < 2 or self._end is not None:
            return  # it already ends
        if self._frames.at_boundary:
            self.at_boundary()
        else:
            self._upstream.set_protocol(_ToBoundary(self, self._upstream, self._client, self._frames))

    def _end_within(self, seconds: float) -> None:
        if self._end is None:
            self._end = asyncio.get_running_loop().call_later(seconds, self.cut)


class _Side(asyncio.Protocol):
    def __init__(self, tunnel: Tunnel, here: asyncio.Transport, there: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self._here = here
        self._there = there

    @override
    def eof_received(self) -> bool:
        if not self._there.is_closing():
            end_sending(self._there)
        self._tunnel.sends_no_more(self._here)
        return self._here.can_write_eof()

    @override
    def pause_writing(self) -> None:
        self._tunnel.pause(self._there)

    @override
    def resume_writing(self) -> None:
        if not self._there.is_closing():
            self._tunnel.resume(self._there)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._there.close()
        else:
            self._there.abort()
        self._tunnel.sends_no_more(self._here)
        self._tunnel.lost(self._here)


class _FromClient(_Side):
    @override
    def data_received(self, data: bytes) -> None:
        self._tunnel.receives(len(data))
        self._there.write(data)
        self._tunnel.pace(self._here)


class _FromUpstream(_Side):
    """Follows the frames that pass."""

    def __init__(self, tunnel: Tunnel, here: asyncio.Transport, there: asyncio.Transport, frames: Frames) -> None:
        super().__init__(tunnel, here, there)
        self._frames = frames

    @override
    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        self._tunnel.sends(len(data))
        self._there.write(data)
        self._tunnel.pace(self._here)


class _ToBoundary(_FromUpstream):
    """Forwards the rest of the frame that has begun, and no other."""

    @override
    def data_received(self, data: bytes) -> None:
        end = self._frames.until_boundary(data)
        super().data_received(data if end is None else data[:end])
        if end is not None:
            self._tunnel.at_boundary()


class _Dropped(_Side):
    @override
    def data_received(self, data: bytes) -> None:
        pass

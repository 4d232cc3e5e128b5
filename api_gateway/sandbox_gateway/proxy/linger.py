"""Closes a client's connection so that the last answer arrives.

Closing a socket with unread bytes resets it, and the reset can destroy an answer that the client has not read yet. So
the gateway closes the sending side first, and drops what the client still sends until the client closes too.
"""

import asyncio
from typing import override

from sandbox_gateway.proxy.context import Context


def end_sending(transport: asyncio.Transport) -> None:
    """Close the sending side. A TLS transport has no half-closed state; closing it drops what the peer still sends."""
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


class Linger(asyncio.Protocol):
    """Takes over a transport after the last write."""

    def __init__(self, context: Context, transport: asyncio.Transport) -> None:
        self._context = context
        self._transport = transport
        self._unsent = transport.get_write_buffer_size()
        context.join(self)
        transport.set_protocol(self)
        if not transport.is_closing():
            end_sending(transport)
            transport.resume_reading()
        self._timer = self._arm()

    @override
    def data_received(self, data: bytes) -> None:
        pass

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._context.leave(self)

    def drain(self) -> None:
        """It is ending already."""

    def cut(self) -> None:
        self._transport.abort()

    def _arm(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._context.bounds.linger_seconds, self._late)

    def _late(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent == 0 or unsent >= self._unsent:
            self._transport.abort()
            return
        self._unsent = unsent
        self._timer = self._arm()

"""A client's connection until its TLS handshake is over; then it is a ClientConnection like any other."""

import asyncio
import ssl
from typing import cast, override

from sandbox_gateway.proxy.client import ClientConnection
from sandbox_gateway.proxy.context import Context


class Handshake(asyncio.Protocol):
    """Counts as a client from the start, so that unfinished ones are bounded, too. Implements `context.Client`."""

    def __init__(self, context: Context, tls: ssl.SSLContext) -> None:
        self._context = context
        self._tls = tls
        self._transport: asyncio.Transport
        self._encrypting: asyncio.Task[None]

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._context.join(self)
        # At once, so that no byte comes here: uvloop reads as soon as this returns, even if it is told to pause.
        loop = asyncio.get_running_loop()
        self._encrypting = asyncio.Task(self._encrypt(), loop=loop, eager_start=True)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._encrypting.cancel()
        self._context.leave(self)

    def drain(self) -> None:
        """Its client is about to ask something, and is then told that the answer is the last one."""

    def cut(self) -> None:
        self._transport.abort()

    async def _encrypt(self) -> None:
        context, bounds = self._context, self._context.bounds
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=bounds.tls_handshake_seconds,
                ssl_shutdown_timeout=bounds.tls_close_seconds,
            )
            if encrypted is None or encrypted.is_closing():
                return
            client = ClientConnection(context)
            encrypted.set_protocol(cast(asyncio.Protocol, client))
            client.connection_made(encrypted)
            if context.draining:
                client.drain()
        except OSError:
            pass  # no TLS, or none that both sides speak, or too late, or gone: the transport is closed already
        finally:
            context.leave(self)

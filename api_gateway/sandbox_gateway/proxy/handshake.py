"""A client's connection during its TLS handshake. After it, it is a ClientConnection like any other."""

import asyncio
import ssl
from typing import cast, override

from sandbox_gateway.proxy.client import ClientConnection
from sandbox_gateway.proxy.context import Context


class Handshake(asyncio.Protocol):
    """Counts as a client from the start, so unfinished handshakes are bounded too. Implements `context.Client`."""

    def __init__(self, context: Context, tls: ssl.SSLContext) -> None:
        self._context = context
        self._tls = tls
        self._transport: asyncio.Transport
        self._encrypting: asyncio.Task[None]

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._context.join(self)
        # At once, so that no byte comes here: uvloop reads when this method returns, even after pause_reading().
        loop = asyncio.get_running_loop()
        self._encrypting = asyncio.Task(self._encrypt(), loop=loop, eager_start=True)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._encrypting.cancel()
        self._context.leave(self)

    def drain(self) -> None:
        """Its client is about to send a request; the answer will say that it is the last."""

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
            pass  # no TLS, no common version or cipher, too late, or gone: the transport is already closed
        finally:
            context.leave(self)

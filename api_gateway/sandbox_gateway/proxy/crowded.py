"""Refuses connections beyond the maximum.

Connections use file descriptors and memory. Existing connections, their upstreams and the probes need them too.
"""

import asyncio
from typing import cast, override

from sandbox_gateway.contract.retry import Passing
from sandbox_gateway.process.metrics import REFUSED_CONNECTIONS
from sandbox_gateway.proxy.answers import refuse_for_now
from sandbox_gateway.proxy.context import Context
from sandbox_gateway.proxy.linger import Linger

ANSWERED = 32
"""How many connections beyond the maximum may stay open to read their answer. Further ones get no answer."""

_ANSWER = refuse_for_now(
    Passing.TOO_MANY_CONNECTIONS,
    "This gateway has its maximum number of open connections. Send the request again later; operators may run more "
    "replicas of the gateway, or allow its processes more open files.",
)


class Crowded(asyncio.Protocol):
    """Refuses a connection, whatever it is for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        REFUSED_CONNECTIONS.inc()
        tls = self._context.tls is not None  # with TLS, an answer would need a handshake
        if tls or len(self._context.clients) >= self._context.bounds.connections + ANSWERED:
            transport.abort()
            return
        transport.write(_ANSWER.encode(close=True, head_only=False))
        Linger(self._context, transport)

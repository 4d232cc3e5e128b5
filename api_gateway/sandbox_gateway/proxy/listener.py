"""The listener for clients."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sandbox_gateway.proxy.client import ClientConnection
from sandbox_gateway.proxy.context import Activity, Bounds, Context, Waker
from sandbox_gateway.proxy.crowded import Crowded
from sandbox_gateway.proxy.directory import Directory
from sandbox_gateway.proxy.forwarded import TrustedProxies
from sandbox_gateway.proxy.handshake import Handshake
from sandbox_gateway.proxy.meter import AccessLog
from sandbox_gateway.proxy.proofs import Ask, Proofs
from sandbox_gateway.proxy.upstream import Pool, keep_alive

_BACKLOG = 4096
_HELD_SHARE = 0.9
"""The part of the grace time that held requests may use."""


class Listener:
    """An open port. Made by `serve`."""

    def __init__(self, context: Context, sock: socket.socket, server: asyncio.Server) -> None:
        self._context = context
        self._socket = sock
        self._server = server
        self.port: int = sock.getsockname()[1]

    def cut(self, runtime_id: str) -> None:
        """Break off the requests in progress to this sandbox, whose pod goes. The pod itself ends its WebSockets."""
        self._context.flights.cut(runtime_id)

    async def shutdown(self, grace_seconds: float) -> None:
        """Stop accepting, let requests end, close WebSockets one by one, and cut the rest after the grace time.

        Held requests may use most of that time. Idle connections are closed a little later, and WebSockets at random
        moments in the first half of the time.
        """
        context = self._context
        context.draining, context.grace_seconds = True, grace_seconds
        context.held_until = asyncio.get_running_loop().time() + grace_seconds * _HELD_SHARE
        for sock in self._close():
            await asyncio.get_running_loop().connect_accepted_socket(lambda: _accepted(context), sock)
        for client in list(context.clients):
            client.drain()
        if context.clients:
            try:
                async with asyncio.timeout(grace_seconds):
                    await context.all_gone.wait()
            except TimeoutError:
                for client in list(context.clients):
                    client.cut()
                await asyncio.sleep(0)  # for the transports to call connection_lost
        context.pool.close()

    def _close(self) -> list[socket.socket]:
        """Stop listening. Returns the connections that wait to be accepted, which the kernel would reset."""
        waiting: list[socket.socket] = []
        with self._socket:
            self._server.close()  # and stops accepting, while the socket still listens
            try:
                while True:
                    sock, _ = self._socket.accept()
                    sock.setblocking(False)
                    waiting.append(sock)
            except OSError:
                pass  # none left, or no free descriptors
        return waiting


async def serve(
    host: str,
    port: int,
    *,
    directory: Directory,
    activity: Activity,
    waker: Waker,
    access_log: AccessLog,
    ask: Ask,
    control_socket: Path,
    base_domain: str,
    https: bool = False,
    tls: Callable[[], ssl.SSLContext] | None = None,
    proxies: TrustedProxies | None = None,
    share_port: bool = False,
    bounds: Bounds | None = None,
) -> Listener:
    """Listen on `host` (an IP address) and `port` (0 for any). Raises OSError when that is not possible.

    `https` says that clients use TLS, possibly to something in front. `tls` returns the TLS context for each new
    connection. `ask` says whether a pod has an address. The X-Forwarded fields of `proxies` are trusted. With
    `share_port`, other processes of the same user may listen on the port too; the kernel spreads the connections.
    """
    context = Context(
        directory=directory,
        activity=activity,
        waker=waker,
        access_log=access_log,
        pool=Pool(Proofs(ask)),
        control_socket=str(control_socket),
        base_domain=base_domain.lower().strip("."),
        bounds=bounds or Bounds(),
        https=https,
        tls=tls,
        proxies=proxies or TrustedProxies(),
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server(
        (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::", reuse_port=share_port
    )
    keep_alive(sock)
    sock.setblocking(False)
    own = sock.dup()  # the server closes the original
    server = await asyncio.get_running_loop().create_server(lambda: _accepted(context), sock=sock, backlog=_BACKLOG)
    return Listener(context, own, server)


def _accepted(context: Context) -> asyncio.Protocol:
    if len(context.clients) >= context.bounds.connections:
        return Crowded(context)
    if context.tls is not None:
        return Handshake(context, context.tls())
    return cast(asyncio.Protocol, ClientConnection(context))

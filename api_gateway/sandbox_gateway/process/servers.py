"""uvicorn servers inside a process that has its own signal handling."""

import contextlib
import socket
from collections.abc import Callable, Generator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import sandbox_gateway.process.tallies  # noqa: F401  # pyright: ignore[reportUnusedImport]  # registers its metrics


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to the process."""
        yield


class AppServer:
    """One application on one listening socket."""

    def __init__(self, app: ASGIApp, sock: socket.socket, *, grace_seconds: float) -> None:
        self._socket = sock
        self._server = _Server(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                # Paths contain session ids, and clients put keys into queries.
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                # Longer than clients and proxies keep an idle connection, so that none uses a closing one.
                timeout_keep_alive=90,
                timeout_graceful_shutdown=int(grace_seconds) + 1,
            )
        )

    async def run(self) -> None:
        """Serve until `stop`, then finish the requests in progress."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Begin the end of `run`."""
        self._server.should_exit = True


def unix_socket(path: str) -> socket.socket:
    """A listening Unix socket. Everyone with access to its directory may connect."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(1024)
    sock.setblocking(False)
    return sock


def tcp_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket; `::` also accepts IPv4."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=host == "::")


def probes_app(ready: Callable[[], bool], *more: Route) -> Starlette:
    """`/healthz`: the event loop runs; `/readyz`: the gateway serves requests; `/metrics`; and more routes."""

    async def healthz(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async def readyz(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok") if ready() else PlainTextResponse("not ready", 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics), *more])

"""One HTTP server in place of all agent servers: the addresses of simulated pods all lead to this machine."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

from aiohttp import web

from local_cluster.ports import free_port


def command_at(port: int) -> list[str]:
    """The command of a container whose agent server listens at this port."""
    return ["/usr/local/bin/openhands-agent-server", "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104


class StubAgents:
    """Answers as an idle agent server would, and counts the requests by path. `port` is that of each of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: Counter[str] = Counter()

    @property
    def command(self) -> list[str]:
        """A command line in which operator and gateway find the port."""
        return command_at(self.port)

    def routes(self) -> list[web.RouteDef]:
        """What they answer."""
        return [
            web.get("/health", self._health),
            web.get("/server_info", self._info),
            web.get("/api/conversations/count", self._count),
            web.post("/api/conversations/prepare-for-sandbox-pause", self._prepare),
        ]

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncGenerator[Self]:
        """Meanwhile they can be reached."""
        agents = cls(free_port())
        app = web.Application()
        app.add_routes(agents.routes())
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", agents.port, backlog=4096).start()  # noqa: S104
        try:
            yield agents
        finally:
            await runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        return web.json_response("OK")

    async def _info(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        return web.json_response({"uptime": 1.0, "idle_time": 1.0})

    async def _count(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        return web.json_response(0)

    async def _prepare(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        return web.Response(status=204)

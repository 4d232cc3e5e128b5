"""An agent server's HTTP side on loopback, in the place of a pod's."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from control_plane.operator.kubelet import Kubelet

ADDRESS = "127.0.0.1"
PREPARE = "/api/conversations/prepare-for-sandbox-pause"


class Agent:
    """Answers `PREPARE` with `status`, after `meanwhile`, and notes the keys that it was asked with."""

    def __init__(self) -> None:
        self.port = 0
        self.status = 204
        self.keys: list[str] = []
        self.meanwhile: Callable[[], Awaitable[Any]] = _nothing

    @property
    def command(self) -> list[str]:
        """Command line by which the operator finds the port."""
        return ["agent-server", "--port", str(self.port)]

    async def run(self, kubelet: Kubelet, pod: str) -> None:
        """Have this pod run, with this agent server in it."""
        await kubelet.bind(pod)
        await kubelet.report(pod, ready=True, podIP=ADDRESS, podIPs=[{"ip": ADDRESS}])

    async def _prepare(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["X-Session-API-Key"])
        await self.meanwhile()
        return web.Response(status=self.status)

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Meanwhile it can be reached."""
        app = web.Application()
        app.router.add_post(PREPARE, self._prepare)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, ADDRESS, 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


async def _nothing() -> None:
    pass

"""Agent servers that are used: they answer requests and WebSockets, and know since when they are idle."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self, override

from aiohttp import web

from bench.agents import StubAgents
from local_cluster.ports import free_port

_EVENT = b'{"kind": "ObservationEvent", "text": "ok"}\n'


class UsedAgents(StubAgents):
    """Each pod's address is an agent server of its own. `pages` is the port of the web servers in the pods."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.pages = free_port()
        self._began: dict[str, float] = {}
        self._used: dict[str, float] = {}

    @override
    def routes(self) -> list[web.RouteDef]:
        own = [
            web.get("/server_info", self._since),
            web.get("/api/events", self._events),
            web.get("/api/broken", self._broken),
            web.get("/sockets/events/{conversation}", self._websocket),
        ]
        return [*own, *(route for route in super().routes() if route.path != "/server_info")]

    @classmethod
    @asynccontextmanager
    @override
    async def listening(cls) -> AsyncGenerator[Self]:
        async with super().listening() as agents:
            app = web.Application()
            app.router.add_get("/", agents._page)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "0.0.0.0", agents.pages).start()  # noqa: S104
            try:
                yield agents
            finally:
                await runner.cleanup()

    async def _since(self, request: web.Request) -> web.Response:
        address, now = _address(request), time.monotonic()
        began = self._began.setdefault(address, now)
        idle = now - self._used.get(address, began)
        return web.json_response({"uptime": now - began, "idle_time": idle})

    async def _events(self, request: web.Request) -> web.Response:
        """So many bytes after so many seconds, as the query says."""
        self._used[_address(request)] = time.monotonic()
        await asyncio.sleep(float(request.query.get("seconds", 0)))
        size = int(request.query.get("bytes", 1000))
        return web.Response(body=(_EVENT * (size // len(_EVENT) + 1))[:size], content_type="application/json")

    async def _broken(self, request: web.Request) -> web.Response:
        self._used[_address(request)] = time.monotonic()
        return web.json_response({"detail": "Internal Server Error"}, status=500)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Say something each second, and listen, until the client closes it."""
        self._used[_address(request)] = time.monotonic()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        while not socket.closed:
            await socket.send_bytes(_EVENT * 10)
            try:
                await socket.receive(timeout=1)
            except TimeoutError:
                continue
        return socket

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>A page of the sandbox</title>" + "<p>text</p>" * 200)


def _address(request: web.Request) -> str:
    assert request.transport
    return request.transport.get_extra_info("sockname")[0]

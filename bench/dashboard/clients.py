"""Clients that start sandboxes, use them in different ways, and stop them."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import aiohttp

from bench.ours import COLD_IMAGE, WARM_IMAGE, start_body
from bench.plane import Plane

BASE_DOMAIN = "sandboxes.example"
IDLE_SECONDS = 30
"""The idle timeout of the sandboxes."""

_WARM_SHARE = 0.7
_SLOW_SECONDS = (0, 0, 0, 0.3, 3)
_BYTES = (300, 5_000, 60_000)
_GIVE_UP_SECONDS = 0.5
_UNTIL_IDLE_SECONDS = IDLE_SECONDS + 25


class Clients:
    """All clients of one API key. Whatever the gateway answers, they go on; `Clients.of` ends those that are left."""

    def __init__(self, plane: Plane, session: aiohttp.ClientSession, choose: random.Random) -> None:
        self._plane = plane
        self._session = session
        self._choose = choose
        self._url = f"http://127.0.0.1:{plane.gateway_port}"
        self._lives: set[asyncio.Task[None]] = set()
        self._number = 0
        self.broken = False
        """Whether some of their requests fail in the sandbox, or are given up."""

    @classmethod
    @asynccontextmanager
    async def of(cls, plane: Plane, api_key: str, choose: random.Random) -> AsyncGenerator[Self]:
        """With connections of their own."""
        headers, connector = {"X-API-Key": api_key}, aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector, trust_env=False) as session:
            clients = cls(plane, session, choose)
            try:
                yield clients
            finally:
                for life in clients._lives:
                    life.cancel()
                await asyncio.gather(*clients._lives, return_exceptions=True)

    async def arrive(self, per_minute: float, end: float) -> None:
        """Clients come at random moments until `end`, a time of the event loop, and live on when this returns."""
        now = asyncio.get_running_loop().time
        while per_minute and (pause := self._choose.expovariate(per_minute / 60)) < end - now():
            await asyncio.sleep(pause)
            image = WARM_IMAGE if self._choose.random() < _WARM_SHARE else COLD_IMAGE
            self.begin(image, self._choose.choices(("stops", "pauses", "is idle"), (5, 2, 3))[0])
        await asyncio.sleep(end - now())

    def begin(self, image: str, how: str = "stops") -> None:
        """One client with one sandbox. `how`: what it does after some use of the sandbox."""
        self._number += 1
        task = asyncio.create_task(self._live(f"session-{self._number}", image, how))
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)

    async def _live(self, name: str, image: str, how: str) -> None:
        if not (sandbox := await self._start(name, image)):
            return
        await self._use(sandbox)
        if how == "pauses":
            await self._call("/pause", sandbox)
            await self._get(sandbox)
            await asyncio.sleep(self._choose.uniform(5, 15))
            await self._call("/resume", sandbox)
            await self._use(sandbox)
        if how == "is idle":
            await asyncio.sleep(self._choose.uniform(0.5, 1.5) * _UNTIL_IDLE_SECONDS)
            await self._use(sandbox)
        await self._call("/stop", sandbox)

    async def _start(self, name: str, image: str) -> dict[str, Any] | None:
        found = await self._ask("POST", "/start", start_body(self._plane, image, name))
        while found and found["status"] == "starting":
            await asyncio.sleep(0.5)
            found = await self._ask("GET", f"/sessions/{name}")
        return found if found and found["status"] == "running" else None

    async def _use(self, sandbox: dict[str, Any]) -> None:
        """Some requests one after the other, with a WebSocket beside them."""
        seconds = self._choose.uniform(5, 30)
        listening = asyncio.create_task(self._listen(sandbox, seconds))
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await self._get(sandbox)
            await asyncio.sleep(self._choose.expovariate(1))
        await listening

    async def _get(self, sandbox: dict[str, Any]) -> None:
        headers = {"X-Session-API-Key": sandbox["session_api_key"]}
        seconds, size = self._choose.choice(_SLOW_SECONDS), self._choose.choice(_BYTES)
        path, timeout = f"/api/events?seconds={seconds}&bytes={size}", aiohttp.ClientTimeout(total=60)
        if self.broken and self._choose.random() < 0.2:
            path = "/api/broken"
        elif self.broken and self._choose.random() < 0.2:
            timeout = aiohttp.ClientTimeout(total=_GIVE_UP_SECONDS)
        elif self._choose.random() < 0.15:
            path, headers = "/", {"Host": f"work-1-{sandbox['runtime_id']}.{BASE_DOMAIN}"}
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self._url}{path}", headers=headers, timeout=timeout) as response:
                await response.read()

    async def _listen(self, sandbox: dict[str, Any], seconds: float) -> None:
        address = f"{self._url}/sockets/events/conversation?session_api_key={sandbox['session_api_key']}"
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(seconds), self._session.ws_connect(address) as socket:
                async for _ in socket:
                    pass

    async def _call(self, path: str, sandbox: dict[str, Any]) -> None:
        await self._ask("POST", path, {"runtime_id": sandbox["runtime_id"]})

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """What the Runtime API answers; None if it refuses."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.request(method, f"{self._url}{path}", json=body) as response:
                return await response.json() if response.status == 200 else None
        return None

"""Two gateway replicas, and requests to either of them on behalf of one owner."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson

from control_plane.gateway.process import Process
from control_plane.gateway.support import API_KEY

OWNER = "alice"
REPLICAS = 2
PUBLIC_URL = "http://gateway.test"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica has answered; `replica` names the process, which is another one after a restart."""

    replica: int
    status: int
    content: bytes

    @property
    def body(self) -> Any:
        """The answer's JSON."""
        return orjson.loads(self.content)


class Gateways:
    """Replicas that are started with the same arguments but for their kubeconfigs; both tell clients the same URL."""

    def __init__(self, http: aiohttp.ClientSession, kubeconfigs: Sequence[Path], arguments: Sequence[str]) -> None:
        self._http = http
        self._kubeconfigs = kubeconfigs
        self._arguments = (*arguments, f"--public-url={PUBLIC_URL}")
        self._numbers = itertools.count()
        self._processes: dict[int, Process] = {}
        self._current: list[int] = []
        self._ended: set[int] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls, kubeconfigs: Sequence[Path], *arguments: str) -> AsyncGenerator[Self]:
        """One for each kubeconfig, ready; at the end they are killed."""
        # Requests that run at the same time need connections of their own.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers={"X-API-Key": API_KEY}) as http:
            gateways = cls(http, kubeconfigs, arguments)
            try:
                gateways._current = await asyncio.gather(*(gateways._start(index) for index in range(len(kubeconfigs))))
                yield gateways
            finally:
                for process in gateways._processes.values():
                    await process.kill()

    async def call(self, index: int, method: str, path: str, **body: Any) -> Answer | None:
        """The answer of this replica; None if it was lost together with the replica."""
        number = self._current[index]
        return await self._send(number, method, path, {}, body or None)

    async def visit(self, index: int, path: str, session_api_key: str) -> Answer | None:
        """A request through this replica to a sandbox."""
        return await self._send(self._current[index], "GET", path, {"X-Session-API-Key": session_api_key}, None)

    async def _send(
        self, number: int, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None
    ) -> Answer | None:
        url = self._processes[number].url + path
        try:
            async with self._http.request(method, url, headers=headers, json=body) as response:
                return Answer(number, response.status, await response.read())
        except aiohttp.ClientError:
            if not self.is_ended(number):
                raise
            return None

    def is_ended(self, number: int) -> bool:
        """Whether this process has been killed or asked to end."""
        return number in self._ended

    async def restart(self, index: int, *, kill: bool) -> None:
        """End this replica, at once or when it has finished what it does, and put a new one into its place."""
        number = self._current[index]
        process = self._processes[number]
        self._ended.add(number)
        if kill:
            await process.kill()
        else:
            process.terminate()
            code, log = await process.ended()
            assert code == 0, log
        self._current[index] = await self._start(index)

    async def _start(self, index: int) -> int:
        number = next(self._numbers)
        kubeconfig = f"--kubeconfig={self._kubeconfigs[index]}"
        self._processes[number] = process = await Process.start(*self._arguments, kubeconfig)
        await process.until_ready()
        return number

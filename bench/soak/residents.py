"""Sandboxes that live from the beginning of a soak to its end, each with a real agent server of its own."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from bench.agents import command_at
from bench.plane import Plane
from bench.soak.course import Course
from bench.soak.gateways import AnsweredError, Gateways, session_key
from bench.soak.lives import apply
from bench.soak.patience import persist
from demo.outside import sdk_python
from local_cluster.control_plane import DIE_WITH_PARENT
from local_cluster.ports import free_port
from local_cluster.progress import Progress
from sandbox_common.kube import FAILURES, KubeObject

COUNT = 3
_VISIT_SECONDS = 10.0


class Resident:
    """One of them. Its pod may be lost, as all pods here; the agent server, which is no pod, goes on."""

    def __init__(self, name: str, here: Plane, gateways: Gateways, course: Course) -> None:
        self.name = name
        self._here = here
        self._gateways = gateways
        self._course = course
        self._directory = here.logs / name

    @asynccontextmanager
    async def living(self, python: Path) -> AsyncGenerator[None]:
        """Meanwhile it is used: a WebSocket that is opened again whenever it closes, and commands."""
        port = free_port()
        await apply(self._here, self.name, command_at(port))
        runtime = await persist(self._keyed)
        self._directory.mkdir()
        with (self._directory / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *DIE_WITH_PARENT,
                *(str(python), "-m", "openhands.agent_server", "--host", "0.0.0.0", "--port", str(port)),  # noqa: S104
                cwd=self._directory,
                env={
                    "HOME": str(self._directory),
                    "PATH": "/usr/bin:/bin",
                    "SESSION_API_KEY": runtime["session_api_key"],
                },
                stdout=log,
                stderr=log,
            )
        try:
            await self._gateways.until_ready(self.name)
            using = [asyncio.create_task(self._listen(runtime)), asyncio.create_task(self._work(runtime))]
            try:
                yield
            finally:
                for task in using:
                    task.cancel()
                await asyncio.gather(*using, return_exceptions=True)
        finally:
            process.kill()
            await process.wait()

    async def _keyed(self) -> KubeObject | None:
        runtime = await self._gateways.ask("GET", f"/runtime/{self.name}")
        return runtime if runtime["session_api_key"] else None

    async def _listen(self, runtime: KubeObject) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._gateways.socket("/sockets/bash-events", session_key(runtime)) as socket:
                    async for _ in socket:
                        pass
                    self._course.closes[socket.close_code or 0] += 1
            await asyncio.sleep(1)

    async def _work(self, runtime: KubeObject) -> None:
        """Each command adds a file, however often it is repeated, so the count shows what is lost or done twice."""
        for turn in itertools.count(1):
            command = f"mkdir -p turns && touch turns/{turn} && ls turns | wc -l"
            body = {"command": command, "cwd": str(self._directory)}
            try:
                answer = await self._gateways.ask(
                    "POST", "/api/bash/execute_bash_command", session_key(runtime), **body
                )
                if answer["stdout"] != f"{turn}\n":
                    self._course.fail(f"{self.name}: command {turn} answers {answer}")
            except (AnsweredError, TimeoutError, *FAILURES) as error:
                self._course.fail(f"{self.name}: command {turn}: {error!r}")
            self._course.visits += 1
            await asyncio.sleep(_VISIT_SECONDS)


@asynccontextmanager
async def residents(
    here: Plane, gateways: Gateways, course: Course, progress: Progress
) -> AsyncGenerator[list[Resident]]:
    """All of them, in use meanwhile; their Sandboxes stay."""
    python = await asyncio.to_thread(sdk_python, progress)
    everyone = [Resident(f"resident-{index}", here, gateways, course) for index in range(COUNT)]
    async with AsyncExitStack() as stack:
        for resident in everyone:
            await stack.enter_async_context(resident.living(python))
        yield everyone

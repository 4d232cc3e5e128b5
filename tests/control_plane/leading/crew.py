"""Several operators of one namespace, each with its own link to the API server."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson

from control_plane.link import Link, linked
from control_plane.operator.process import OperatorProcess
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane

LEADER = "openhands_sandbox_operator_leader"


class Member:
    """One replica: when its process has ended, `restart` starts the next one in its place."""

    def __init__(
        self, number: int, link: Link, arguments: tuple[Path, str, Path, Path], flags: tuple[str, ...]
    ) -> None:
        self.name = f"operator-{number}"
        self.link = link
        self.log = arguments[3]
        self.stopped = False
        self._arguments = arguments
        self._flags = flags
        self._process: OperatorProcess | None = None

    @property
    def process(self) -> OperatorProcess:
        """Its process. Raises AssertionError when it has none."""
        assert self._process, f"{self.name} does not run"
        return self._process

    async def restart(self) -> None:
        """Start it, again if it ends since its port was taken meanwhile; return once its caches are filled."""

        async def look() -> bool:
            if self._process is None or self._process.has_ended:
                self._process = await OperatorProcess.start(*self._arguments, *self._flags)
            return await self._process.status("/readyz") == 200

        await eventually(look)

    async def leads(self) -> bool:
        """Whether it says that it leads."""
        return not self.stopped and self._process is not None and await self._process.metric(LEADER) == 1

    async def stop(self) -> None:
        """SIGTERM; returns once it has ended, well."""
        process, self._process = self.process, None
        assert await process.stop() == 0, self.log.read_text()[-3000:]

    async def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self.process, None
        await process.kill()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.stopped = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.stopped = False
        self.process.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Kill what there still is."""
        if self._process:
            await self._process.kill()


class Crew:
    """All replicas."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    @classmethod
    @asynccontextmanager
    async def aboard(
        cls,
        control_plane: ControlPlane,
        namespace: str,
        master_key_dir: Path,
        directory: Path,
        number: int,
        *flags: str,
    ) -> AsyncGenerator[Self]:
        """So many replicas with filled caches, of which one leads."""
        async with AsyncExitStack() as stack:
            members: list[Member] = []
            for index in range(1, number + 1):
                link, kubeconfig = await stack.enter_async_context(linked(control_plane, directory, f"127.0.1.{index}"))
                log = directory / f"operator-{index}.log"
                members.append(Member(index, link, (kubeconfig, namespace, master_key_dir, log), flags))
            crew = cls(members)
            try:
                await asyncio.gather(*(member.restart() for member in members))
                await crew.leader()
                yield crew
            finally:
                await asyncio.gather(*(member.end() for member in members))

    async def leader(self, besides: Member | None = None, timeout: float = 30) -> Member:
        """The replica that says that it leads, once there is one."""

        async def look() -> Member | None:
            others = [member for member in self.members if member is not besides]
            answers = await asyncio.gather(*(member.leads() for member in others))
            return next((member for member, leads in zip(others, answers, strict=True) if leads), None)

        return await eventually(look, timeout)

    def check_logs(self) -> None:
        """No key is in them, and no error of the operator's own."""
        for member in self.members:
            with contextlib.suppress(FileNotFoundError):
                text = member.log.read_text()
                assert "ohs_v" not in text
                lines: list[dict[str, Any]] = [orjson.loads(line) for line in text.splitlines() if line.startswith("{")]
                errors = [line for line in lines if line["level"] == "error"]
                own = [line for line in errors if line["logger"].startswith("sandbox_")]
                assert not [line for line in own if "address already in use" not in line.get("error", "")]

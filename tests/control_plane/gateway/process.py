"""The gateway as it runs in production: the console script, in a process of its own."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Self

import httpx

from control_plane.resident import resident
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.ports import free_port

_SCRIPT = Path(sys.executable).with_name("sandbox-gateway")


class Process:
    """The command `sandbox-gateway`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, health_port: int, log: IO[bytes]) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"
        self.health_port = health_port
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{health_port}", trust_env=False)
        self._log = log

    @classmethod
    async def start(
        cls,
        *arguments: str,
        open_files: int | None = None,
        stdout: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """One on free ports of loopback; it may not be ready yet. Kill it at the end.

        It may have `open_files`, or as many as this process. With a descriptor for `stdout`, `log` has only the rest.
        Its environment is this process's unless it is given.
        """
        limit = [] if open_files is None else ["prlimit", f"--nofile={open_files}"]
        port, health_port = free_port(), free_port()
        # Not a pipe: nobody would read it before the end.
        log = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        process = await asyncio.create_subprocess_exec(
            *(*limit, _SCRIPT, "--listen-host=127.0.0.1"),
            *(f"--listen-port={port}", f"--health-port={health_port}", *arguments),
            stdout=log if stdout is None else stdout,
            stderr=log,
            env=environment,
        )
        return cls(process, port, health_port, log)

    @property
    def workers(self) -> list[int]:
        """Process ids of its children."""
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def resident(self) -> int:
        """Bytes of its memory that are resident."""
        return resident(self._process.pid)

    async def ask(self, path: str, token: str = "") -> httpx.Response:
        """GET of this path on the port of the probes. Raises httpx.TransportError."""
        return await self._http.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})

    async def readyz(self) -> int:
        """Status of /readyz, 0 when nothing answers."""
        try:
            return (await self.ask("/readyz")).status_code
        except httpx.TransportError:
            return 0

    async def until_ready(self) -> None:
        """Return once requests can be served."""

        async def ready() -> bool:
            if self._process.returncode is not None:
                raise AssertionError(f"the gateway ended with {self._process.returncode}:\n{self.log}")
            return await self.readyz() == 200

        try:
            # Its imports alone take seconds of CPU, and a busy machine gives it a tenth of one.
            await eventually(ready)
        except TimeoutError:
            raise AssertionError(f"the gateway does not become ready:\n{self.log}") from None

    @property
    def log(self) -> str:
        """All that it has logged."""
        self._log.seek(0)
        return self._log.read().decode()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> tuple[int, str]:
        """Exit code and log."""
        return await asyncio.wait_for(self._process.wait(), PATIENCE), self.log

    async def die(self) -> None:
        """End it without a word, if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def kill(self) -> None:
        """End it without a word, if it has not ended, and forget its log."""
        await self.die()
        await self._http.aclose()
        self._log.close()


@asynccontextmanager
async def command(*arguments: str, open_files: int | None = None, stdout: int | None = None) -> AsyncGenerator[Process]:
    """Start `sandbox-gateway` on free ports of loopback; it is killed at the end."""
    process = await Process.start(*arguments, open_files=open_files, stdout=stdout)
    try:
        yield process
    finally:
        await process.kill()


@asynccontextmanager
async def serving(
    control_plane: ControlPlane,
    namespace: str,
    master_key_dir: Path,
    *arguments: str,
    open_files: int | None = None,
    stdout: int | None = None,
) -> AsyncGenerator[Process]:
    """A gateway that is ready."""
    common = (f"--namespace={namespace}", f"--master-key-dir={master_key_dir}")
    kubeconfig = f"--kubeconfig={control_plane.kubeconfig}"
    async with command(*common, kubeconfig, *arguments, open_files=open_files, stdout=stdout) as process:
        await process.until_ready()
        yield process

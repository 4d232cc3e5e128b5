"""Runs one replica as several processes that share its port, so that it can use several cores.

Each worker is a complete gateway with its own listening socket (SO_REUSEPORT: the kernel spreads the connections) and
its probes on a Unix socket. The supervisor starts the workers, replaces one that ends, and answers for all on the port
of the probes. Memory and the load on the API server grow with the workers, as with replicas.
"""

import asyncio
import os
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import structlog

from sandbox_common.backoff import doubled
from sandbox_common.waiting import set_within
from sandbox_gateway.process.servers import AppServer, tcp_socket
from sandbox_gateway.settings import Settings
from sandbox_gateway.workers.probes import MergedProbes

SOCKET_VARIABLE = "SANDBOX_GATEWAY_WORKER_SOCKET"

_SETTLED_SECONDS = 60.0
"""A worker that ran this long had started well."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_RESERVE_SECONDS = 5.0
"""How long a worker may take to end after its grace time, before it is killed."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class WorkerError(Exception):
    """A worker cannot serve."""

    def __init__(self, worker: str, code: int) -> None:
        super().__init__(f"worker {worker} ended with {code}; its own log lines say why")


class Supervisor:
    """Keeps `settings.workers` processes of `command` running."""

    def __init__(self, settings: Settings, command: Sequence[str]) -> None:
        self._settings = settings
        self._command = command
        self._serials = count(1)
        self._sockets: dict[str, str] = {}
        self._settled = False

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; return when all workers have ended.

        Raises OSError when the port of the probes is not available, and an ExceptionGroup with a WorkerError when the
        first workers cannot serve.
        """
        probes_socket = tcp_socket(self._settings.listen_host, self._settings.health_port)
        probes = AppServer(MergedProbes(lambda: dict(self._sockets)).app, probes_socket, grace_seconds=1)
        with tempfile.TemporaryDirectory(prefix="sandbox-gateway-") as directory:
            async with asyncio.TaskGroup() as tasks:
                probing = tasks.create_task(probes.run())
                await asyncio.sleep(0)
                keeping = [
                    tasks.create_task(self._keep(str(number), Path(directory), stop))
                    for number in range(self._settings.workers)
                ]
                await asyncio.gather(*keeping)
                probes.stop()
                await probing

    async def _keep(self, worker: str, directory: Path, stop: asyncio.Event) -> None:
        """A worker, and its successors."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not stop.is_set():
            started_at = loop.time()
            code = await self._run_one(worker, directory / f"{next(self._serials)}.sock", stop)
            if stop.is_set():
                break
            if loop.time() - started_at > _SETTLED_SECONDS:
                self._settled, failures = True, 0
            elif code > 0 and not self._settled:
                raise WorkerError(worker, code)
            failures += 1
            pause = doubled(failures, _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            _log.error("gateway worker ended", worker=worker, code=code, replaced_in_seconds=pause)
            await set_within(stop, pause)
        # A worker that will be replaced still counts as missing: without its memory, sandboxes must not seem unused.
        self._sockets.pop(worker, None)

    async def _run_one(self, worker: str, path: Path, stop: asyncio.Event) -> int:
        """The exit code of one process, which gets SIGTERM when `stop` is set."""
        # Its standard input ends with this process, even if that is killed.
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, env={**os.environ, SOCKET_VARIABLE: str(path)}
        )
        self._sockets[worker] = str(path)
        ended, stopping = asyncio.ensure_future(process.wait()), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if process.returncode is None:
                process.terminate()
                await asyncio.wait({ended}, timeout=self._settings.shutdown_grace_seconds + _RESERVE_SECONDS)
        finally:
            stopping.cancel()
            if process.returncode is None:
                process.kill()
        return await ended

"""The operator as it runs in production: the console script, in a process of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from control_plane.resident import resident
from control_plane.waiting import eventually
from local_cluster.ports import free_port

_SCRIPT = Path(sys.executable).with_name("sandbox-operator")


class OperatorProcess:
    """A running operator of one namespace."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process = process
        self.health_port = port
        self._http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)
        self._log = log

    @classmethod
    @asynccontextmanager
    async def running(
        cls, kubeconfig: Path, namespace: str, master_key_dir: Path, log: Path, *flags: str
    ) -> AsyncGenerator[Self]:
        """One with filled caches; at the end it is asked to end, which must go well. `log` is added to."""
        operator = await cls.start(kubeconfig, namespace, master_key_dir, log, *flags)
        try:
            await eventually(operator._is_ready)
            yield operator
            assert await operator.stop() == 0
        finally:
            await operator.kill()

    @classmethod
    async def start(
        cls,
        kubeconfig: Path,
        namespace: str,
        master_key_dir: Path,
        log: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """One that may not be ready yet; stop or kill it. Its environment is this process's unless it is given."""
        port = free_port()
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                _SCRIPT,
                f"--kubeconfig={kubeconfig}",
                f"--namespace={namespace}",
                f"--master-key-dir={master_key_dir}",
                f"--health-port={port}",
                "--log-level=DEBUG",
                *flags,
                stdout=output,
                stderr=output,
                env=environment,
            )
        return cls(process, port, log)

    async def _is_ready(self) -> bool:
        if self._process.returncode is not None:
            raise AssertionError(f"the operator ended with {self._process.returncode}:\n{self.log}")
        return await self.status("/readyz") == 200

    async def status(self, path: str) -> int:
        """Status code of a health endpoint; 0 when nobody listens."""
        try:
            return (await self._http.get(path)).status_code
        except httpx.TransportError:
            return 0

    async def metric(self, name: str) -> float | None:
        """Sum of a metric over all labels; None when the process does not answer, or has no such metric."""
        try:
            values = [sample.value for sample in await self.samples() if sample.name == name]
        except httpx.TransportError:
            return None
        return sum(values) if values else None

    async def samples(self) -> list[Sample]:
        """All metrics. Raises httpx.TransportError."""
        families = text_string_to_metric_families((await self._http.get("/metrics")).text)
        return [sample for family in families for sample in family.samples]

    @property
    def resident(self) -> int:
        """Bytes of its memory that are resident."""
        return resident(self._process.pid)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self._process.returncode is not None

    def send_signal(self, number: signal.Signals) -> None:
        """Send the running process a signal."""
        self._process.send_signal(number)

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    async def stop(self) -> int:
        """Ask it to end; gives its exit code."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self._ended()

    async def kill(self) -> None:
        """End it without a word."""
        if self._process.returncode is None:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> int:
        await self._http.aclose()
        return await self._process.wait()

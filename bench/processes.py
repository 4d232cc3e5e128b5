"""Processes under measurement: started as in production, read from /proc."""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp

from local_cluster.control_plane import DIE_WITH_PARENT

_TICKS = os.sysconf("SC_CLK_TCK")
_KIB_IN_MIB = 1024
_POLL = 0.01
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used: memory that is resident now and at most so far, in MiB, and CPU in seconds."""

    rss: float
    peak: float
    cpu: float


class Measured:
    """One of the console scripts beside this interpreter. `health_port` is where it answers /readyz."""

    def __init__(self, process: asyncio.subprocess.Process, health_port: int, log: Path) -> None:
        self._process = process
        self._started = time.monotonic()
        self._log = log
        self.health_port = health_port

    @classmethod
    async def start(cls, script: str, health_port: int, log: Path, *arguments: str) -> Self:
        """Start it; it may not be ready yet. Its log is added to `log`."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *DIE_WITH_PARENT,
                str(Path(sys.executable).with_name(script)),
                f"--health-port={health_port}",
                *arguments,
                stdout=output,
                stderr=output,
            )
        return cls(process, health_port, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def last_words(self, lines: int = 30) -> str:
        """The end of its log, if it has ended; else nothing."""
        return "" if self._process.returncode is None else "\n".join(self._log.read_text().splitlines()[-lines:])

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self._started

    async def ready(self) -> float:
        """Seconds from its start until /readyz said so. Raises RuntimeError when it ends or takes too long."""
        url = f"http://127.0.0.1:{self.health_port}/readyz"
        async with aiohttp.ClientSession(trust_env=False) as session:
            while self.age < _START_SECONDS:
                if self._process.returncode is not None:
                    raise RuntimeError(f"a process ended with {self._process.returncode}; its log is {self._log}")
                try:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return self.age
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(_POLL)
        raise RuntimeError(f"a process does not become ready; its log is {self._log}")

    def usage(self) -> Usage:
        """What it has used so far."""
        process = Path("/proc", str(self._process.pid))
        lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        # The command's name, in parentheses, may hold spaces (proc_pid_stat(5)).
        fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
        return Usage(
            rss=int(lines["VmRSS"].split()[0]) / _KIB_IN_MIB,
            peak=int(lines["VmHWM"].split()[0]) / _KIB_IN_MIB,
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        )

    async def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

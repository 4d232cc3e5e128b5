"""Processes by pid and start time, so a pid that now belongs to another process never gets a signal."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of this boot. `started` is the boot's id and the start time in clock ticks since then."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process with this pid; None when there is none, or only a zombie."""
        try:
            fields = parse_stat((PROC / str(pid) / "stat").read_text())
            boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
            threads = len(list((PROC / str(pid) / "task").iterdir()))
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, ticks = fields[0], fields[19]
        # As long as one thread of a killed process is about to end, it keeps its sockets.
        return None if state in "ZX" and threads <= 1 else cls(pid, f"{boot}:{ticks}")

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def parse_stat(stat: str) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; the second may hold spaces and parentheses."""
    return stat.rpartition(")")[2].split()


def end(processes: Sequence[Process], *, grace: float = 0.0, timeout: float = 20.0) -> list[Process]:
    """End processes: SIGTERM, after `grace` seconds SIGKILL (at once if 0). Returns those still alive."""
    if grace > 0:
        for process in processes:
            process.signal(signal.SIGTERM)
        processes = wait_gone(processes, grace)
    for process in processes:
        process.signal(signal.SIGKILL)
    return wait_gone(processes, timeout)


def wait_gone(processes: Sequence[Process], timeout: float) -> list[Process]:
    """Wait until all have ended; returns those that are alive after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while alive := [process for process in processes if process.alive()]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return alive


def running() -> Iterator[tuple[Process, Path]]:
    """Every process of the machine with its directory in /proc."""
    for directory in PROC.iterdir():
        if directory.name.isdigit() and (process := Process.of(int(directory.name))) is not None:
            yield process, directory


def read(path: Path) -> str:
    """A file in /proc as text; empty when the process has ended meanwhile."""
    try:
        return path.read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""

"""Daemons: each runs in its own session, logs to a file, and is recorded by pid and start time."""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_cluster.errors import ClusterError
from local_cluster.processes import Process, end

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Daemon:
    """What to run. A daemon gets only this environment, and nothing from the caller's shell."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": PATH})


class Daemons:
    """The daemons of one cluster.

    `prefix` comes before each command, such as `nsenter` for a network namespace. It must replace itself by the
    command, so that the pid stays. Errors about a daemon name the `remedy`.
    """

    def __init__(self, *, logs: Path, pids: Path, remedy: str, prefix: Sequence[str] = ()) -> None:
        self._logs = logs
        self._pids = pids
        self._remedy = remedy
        self._prefix = prefix
        self._children: list[subprocess.Popen[bytes]] = []

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def start(self, daemon: Daemon) -> None:
        """Start a daemon and record it. `await_ready` waits for it."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._pids.mkdir(parents=True, exist_ok=True)
        with self.log(daemon.name).open("ab") as log:
            child = subprocess.Popen(
                [*self._prefix, *daemon.command],
                env=dict(daemon.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)
        if (process := Process.of(child.pid)) is None:
            raise self._failed(daemon.name, "ended at once")
        record = self._pids / daemon.name
        temporary = record.with_suffix(".new")
        temporary.write_text(json.dumps({"pid": process.pid, "started": process.started}))
        temporary.rename(record)

    def recorded(self) -> dict[str, Process]:
        """The daemons that were started, dead or alive."""
        records = sorted(self._pids.iterdir()) if self._pids.is_dir() else []
        return {record.name: Process(**json.loads(record.read_text())) for record in records if not record.suffix}

    def alive(self, name: str) -> bool:
        process = self.recorded().get(name)
        return process is not None and process.alive()

    def stop(self, name: str) -> None:
        """End one daemon, if it runs. Raises ClusterError when it does not end."""
        if (process := self.recorded().get(name)) and end([process]):
            raise ClusterError(f"{name} did not end", remedy="look at the process's state with `ps`")

    def stop_all(self, *, grace: float = 0.0) -> None:
        """End all daemons. Raises ClusterError when one does not end."""
        records = self.recorded()
        if left := end(list(records.values()), grace=grace):
            names = [name for name, process in records.items() if process in left]
            raise ClusterError(f"{', '.join(names)} did not end", remedy="look at the processes' state with `ps`")
        for name in records:
            (self._pids / name).unlink()
        for child in self._children:
            child.wait()
        self._children.clear()

    def await_ready(
        self, name: str, ready: Callable[[], object], *, timeout: float, what: str = "is not ready"
    ) -> None:
        """Wait until `ready` returns a true value. Raises ClusterError when the daemon ends first, or on time-out."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive(name):
                raise self._failed(name, "ended")
            if time.monotonic() > deadline:
                raise self._failed(name, f"runs, but {what} after {timeout:.0f} s")
            time.sleep(0.05)

    def _failed(self, name: str, what: str) -> ClusterError:
        return ClusterError(f"{name} {what}", log=self.log(name), remedy=self._remedy)

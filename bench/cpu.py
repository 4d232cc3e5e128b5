"""CPU time of every process that takes part in a measurement."""

import asyncio
import os
import time
from collections.abc import Mapping

from bench.figures import difference
from local_cluster.processes import PROC, parse_stat

CLIENT = "client"
"""This process: who asks, and who answers in the place of the agent servers."""

_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS = 0.5
_QUIET_SHARE = 0.1
_PATIENCE_SECONDS = 20.0


class EndedError(Exception):
    """A process has ended during a measurement; the text is its name."""


class Cpu:
    """CPU seconds so far, by name, of processes given by their pids and of this one."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)

    def read(self) -> dict[str, float]:
        """Now. Raises EndedError when a process has ended."""
        return {name: _seconds(name, pid) for name, pid in self._pids.items()} | {CLIENT: time.process_time()}

    async def settle(self) -> None:
        """Return when together they use less than a tenth of one CPU, or after 20 s."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            before = self.read()
            await asyncio.sleep(_LOOK_SECONDS)
            if sum(difference(self.read(), before).values()) < _QUIET_SHARE * _LOOK_SECONDS:
                return


def _seconds(name: str, pid: int) -> float:
    try:
        user, system = parse_stat((PROC / str(pid) / "stat").read_text())[11:13]
    except (FileNotFoundError, ProcessLookupError):
        raise EndedError(name) from None
    return (int(user) + int(system)) / _TICKS

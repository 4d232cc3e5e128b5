"""The operator of one namespace, which may be killed at any time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from control_plane.operator.process import OperatorProcess

_FLAGS = ("--lease-duration-seconds=1",)
"""The next one waits for as long as the killed one might have gone on."""


class Operators:
    """One after the other."""

    def __init__(self, kubeconfig: Path, namespace: str, master_key_dir: Path, log: Path) -> None:
        self._arguments = (kubeconfig, namespace, master_key_dir, log)
        self._current: OperatorProcess | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Meanwhile there is one."""
        try:
            await self.restart()
            yield
        finally:
            await self._kill()

    async def restart(self) -> None:
        """Kill it and start the next one, which fills its caches meanwhile."""
        await self._kill()
        self._current = await OperatorProcess.start(*self._arguments, *_FLAGS)

    async def _kill(self) -> None:
        if self._current:
            await self._current.kill()

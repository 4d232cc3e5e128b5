"""The operator of one namespace, which may be killed at any time, and is started again when it ends by itself."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from control_plane.operator.process import OperatorProcess

_FLAGS = ("--lease-duration-seconds=2",)
"""The next one waits for as long as the killed one might have gone on. A busy machine renews late for 1 s."""
_PAUSE = 0.5


class Operators:
    """One after the other."""

    def __init__(self, kubeconfig: Path, namespace: str, master_key_dir: Path, log: Path) -> None:
        self._arguments = (kubeconfig, namespace, master_key_dir, log)
        self._current: OperatorProcess | None = None
        self._changing = asyncio.Lock()
        self.ends = 0
        """How often it has ended by itself."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Meanwhile there is one."""
        try:
            await self.restart()
            supervision = asyncio.create_task(self._supervise())
            yield
            supervision.cancel()
        finally:
            await self._kill()

    async def _supervise(self) -> None:
        """As a kubelet does."""
        while True:
            await asyncio.sleep(_PAUSE)
            async with self._changing:
                if self._current and self._current.has_ended:
                    self.ends += 1
                    await self._restart()

    async def restart(self) -> None:
        """Kill it and start the next one, which fills its caches meanwhile."""
        async with self._changing:
            await self._restart()

    async def _restart(self) -> None:
        await self._kill()
        self._current = await OperatorProcess.start(*self._arguments, *_FLAGS)

    async def _kill(self) -> None:
        if self._current:
            await self._current.kill()

"""Whether the API server stood still for a while, as on a busy machine.

What needs an answer in time proves nothing then: a gateway may say that it got none, a leader loses its Lease. A test
that fails meanwhile is run again (pytest-rerunfailures) and listed as RERUN.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import ClassVar

import aiohttp

from control_plane.cluster_scope import NAMESPACES, connected
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import ApiError

_EVERY_SECONDS = 0.25
_STALL_SECONDS = 1.0
"""Half of what a gateway waits before it gives up, and of the tests' shortest Lease."""


class StalledError(Exception):
    """A test has failed while the API server stood still."""


class Pulse:
    """Reads one small object again and again. Times are monotonic, in seconds."""

    _last_end: ClassVar[float] = 0.0
    """Of the last stall that any pulse of this process has seen."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._over = False

    @asynccontextmanager
    async def beating(self, control_plane: ControlPlane) -> AsyncGenerator[None]:
        """Meanwhile stalls are noted, of this event loop as well."""
        task = asyncio.create_task(self._beat(control_plane))
        try:
            yield
        finally:
            self._over = True
            await task

    @contextmanager
    def beating_apart(self, control_plane: ControlPlane) -> Generator[None]:
        """Meanwhile stalls are noted, whatever this thread does."""
        thread = threading.Thread(target=asyncio.run, args=(self._beat(control_plane),))
        thread.start()
        try:
            yield
        finally:
            self._over = True
            thread.join()

    def stalled(self, since: float) -> bool:
        """Whether there was a stall after this time, or is one now."""
        now = time.monotonic()
        return now > self._began + _STALL_SECONDS or self._last_end > since

    @contextmanager
    def judging(self) -> Generator[None]:
        """Raises StalledError instead of whatever fails after a stall."""
        since = time.monotonic()
        try:
            yield
        except Exception as error:
            if not self.stalled(since):
                raise
            raise StalledError(f"the API server stood still meanwhile: {error}") from error

    async def _beat(self, control_plane: ControlPlane) -> None:
        async with connected(control_plane) as client:
            while not self._over:
                self._began = time.monotonic()
                with suppress(ApiError, aiohttp.ClientError, TimeoutError):
                    await client.get(NAMESPACES, "", "default")
                await asyncio.sleep(_EVERY_SECONDS)
                if (now := time.monotonic()) > self._began + _STALL_SECONDS:
                    Pulse._last_end = now

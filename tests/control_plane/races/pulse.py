"""Whether the API server stood still for a while, as on a busy machine: a gateway may then say so."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import aiohttp

from control_plane.cluster_scope import NAMESPACES
from sandbox_common.kube import ApiError, KubeClient

_EVERY_SECONDS = 0.25
_STALL_SECONDS = 1.0
"""Half of what a gateway waits before it gives up."""


class Pulse:
    """Reads one small object again and again. Times are monotonic, in seconds."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._began = time.monotonic()
        self._last_end = 0.0

    @asynccontextmanager
    async def beating(self) -> AsyncGenerator[None]:
        """Meanwhile stalls are noted."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def stalled(self, since: float) -> bool:
        """Whether there was a stall after this time, or is one now."""
        now = time.monotonic()
        return now > self._began + _STALL_SECONDS or self._last_end > since

    async def _beat(self) -> None:
        while True:
            self._began = time.monotonic()
            with suppress(ApiError, aiohttp.ClientError, TimeoutError):
                await self._client.get(NAMESPACES, "", self._namespace)
            await asyncio.sleep(_EVERY_SECONDS)
            if (now := time.monotonic()) > self._began + _STALL_SECONDS:
                self._last_end = now

"""Waiting while processes are killed and the API server is restarted."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from control_plane.waiting import eventually
from sandbox_common.kube import FAILURES

PATIENCE = 300.0
"""Seconds that a step may take."""
_PAUSE_SECONDS = 0.3


async def persist[T](look: Callable[[], Awaitable[T | None]]) -> T:
    """The first true result of `look`; a request that fails counts as not yet. Raises TimeoutError."""

    async def unfailing() -> T | None:
        with suppress(*FAILURES):
            if found := await look():
                return found
        # Dozens of lives wait at the same time.
        await asyncio.sleep(_PAUSE_SECONDS)
        return None

    return await eventually(unfailing, timeout=PATIENCE)

"""Waiting for a state of the cluster."""

import asyncio
from collections.abc import Awaitable, Callable

from sandbox_common.kube import ApiError

PATIENCE = 120.0
"""Seconds that whatever must come may take on a busy machine. A wait that succeeds takes no longer because of it."""

_INTERVAL = 0.02


async def eventually[T](look: Callable[[], Awaitable[T | None]], timeout: float = PATIENCE) -> T:
    """The first true result of `look`, which is called again and again; an ApiError counts as not yet.

    Raises TimeoutError after `timeout` seconds.
    """
    async with asyncio.timeout(timeout):
        while True:
            try:
                if found := await look():
                    return found
            except ApiError:
                pass
            await asyncio.sleep(_INTERVAL)

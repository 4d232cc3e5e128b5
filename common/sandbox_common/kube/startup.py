"""Logs at the start of a process while it waits for the API server."""

import asyncio
from collections.abc import Coroutine

import structlog

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_SAY_AFTER_SECONDS = 1.0
_SAY_EVERY_SECONDS = 10.0


async def until_known(known: Coroutine[None, None, None], server: str) -> None:
    """Await `known`. If it takes long, log from time to time what to look at."""
    waiting, began = asyncio.ensure_future(known), asyncio.get_running_loop().time()
    try:
        pause = _SAY_AFTER_SECONDS
        while not (await asyncio.wait([waiting], timeout=pause))[0]:
            _log.warning(
                "waiting for the Kubernetes API server: see the failures of lists in this log, and whether network "
                "policies, firewalls or Roles keep this process from it",
                server=server,
                seconds=round(asyncio.get_running_loop().time() - began),
            )
            pause = _SAY_EVERY_SECONDS
        await waiting
    finally:
        waiting.cancel()

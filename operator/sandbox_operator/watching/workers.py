"""Workers that take keys from a queue, and come back to those that could not be dealt with."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import structlog

from sandbox_common.kube import ApiError
from sandbox_operator.watching.queue import WorkQueue

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def work(queue: WorkQueue, reconcile: Callable[[str], Awaitable[None]], kind: str) -> None:
    """Call `reconcile` for key after key until cancelled; whatever it raises is logged, and the key comes again.

    `kind` is what the keys name, for the log. Run several of these side by side.
    """
    while True:
        key = await queue.get()
        try:
            await _attempt(queue, reconcile, kind, key)
        finally:
            queue.done(key)
        # A pass that finds nothing to do never waits: thousands in a row would hold up all else in this process.
        await asyncio.sleep(0)


async def _attempt(queue: WorkQueue, reconcile: Callable[[str], Awaitable[None]], kind: str, key: str) -> None:
    try:
        await reconcile(key)
    except ApiError as error:
        if error.code != 409:
            _log.warning("will be tried again", **{kind: key}, error=str(error))
        queue.retry(key, error.retry_after or 0.0)
    except (aiohttp.ClientError, OSError) as error:
        _log.warning("will be tried again", **{kind: key}, error=str(error) or type(error).__name__)
        queue.retry(key)
    except Exception:
        _log.exception("will be tried again", **{kind: key})
        queue.retry(key)

"""Workers that process the keys of a queue, and retry those that failed."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import structlog
from prometheus_client import Counter

from sandbox_common.kube import ApiError
from sandbox_common.kube.repetition import OVERLOADED
from sandbox_operator.watching.queue import WorkQueue

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


_ERRORS = Counter(
    "openhands_sandbox_operator_errors",
    "Passes over an object that failed and will probably fail again: the API server refuses a request, or it is a bug.",
    ["kind"],
)
_PASSING = OVERLOADED | {404, 409}
"""Codes of refusals after which another pass may succeed, because the server recovers or the cache catches up."""


async def work(queue: WorkQueue, reconcile: Callable[[str], Awaitable[None]], kind: str) -> None:
    """Call `reconcile` for one key after the other until cancelled. Logs what it raises, and retries the key.

    `kind` says what the keys name, for log and metrics. Run several of these at the same time.
    """
    # Prometheus does not see the first increase of a series that begins with 1.
    _ERRORS.labels(kind)
    while True:
        key = await queue.get()
        try:
            await _attempt(queue, reconcile, kind, key)
        finally:
            queue.done(key)
        # A pass without work never awaits anything: thousands in a row would block this process.
        await asyncio.sleep(0)


async def _attempt(queue: WorkQueue, reconcile: Callable[[str], Awaitable[None]], kind: str, key: str) -> None:
    try:
        await reconcile(key)
    except ApiError as error:
        if error.code != 409:
            _log.warning("will be tried again", **{kind: key}, error=str(error))
        if error.code not in _PASSING:
            _ERRORS.labels(kind).inc()
        queue.retry(key, error.retry_after or 0.0)
    except (aiohttp.ClientError, OSError) as error:
        _log.warning("will be tried again", **{kind: key}, error=str(error) or type(error).__name__)
        queue.retry(key)
    except Exception:
        _log.exception("will be tried again", **{kind: key})
        _ERRORS.labels(kind).inc()
        queue.retry(key)

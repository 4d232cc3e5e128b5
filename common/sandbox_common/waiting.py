"""Waiting: with a timeout, and for several requests."""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, at most these seconds. Returns whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def together[T](requests: Iterable[Awaitable[T]]) -> list[T]:
    """The results of all requests. If one fails, raises its exception after all have ended."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


_abandoned: set[asyncio.Task[None]] = set()


async def to_the_end(request: Coroutine[Any, Any, None]) -> None:
    """Await a request. If this is cancelled, the request goes on in the background, and nobody learns of a failure."""
    task = asyncio.create_task(request)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        _abandoned.add(task)
        task.add_done_callback(_forget)
        raise


def _forget(task: asyncio.Task[None]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        # Otherwise asyncio logs that nobody has seen it.
        task.exception()

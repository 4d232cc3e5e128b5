"""Waiting: with a timeout, and for several requests."""

import asyncio
import contextlib
from collections.abc import Awaitable, Iterable


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

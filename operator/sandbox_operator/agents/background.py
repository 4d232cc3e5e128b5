"""Requests to agent servers in tasks of their own, outside of the workers.

A program in a pod may make its caller wait for any time. This must not block other sandboxes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable

import structlog

AT_ONCE = 256
"""Maximum number of concurrent requests of one kind."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class BackgroundRequests:
    """Requests of one kind, at most one at a time for each key."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}

    def begin[T](self, key: Hashable, request: Callable[[], Awaitable[T]], over: Callable[[T | None], None]) -> bool:
        """Begin a request, unless one with this key is in progress. False if too many requests are in progress.

        `over` is called with the result; None if the request failed.
        """
        if key not in self._under_way:
            if len(self._under_way) >= AT_ONCE:
                return False
            self._under_way[key] = asyncio.create_task(self._run(key, request, over))
        return True

    async def _run[T](
        self, key: Hashable, request: Callable[[], Awaitable[T]], over: Callable[[T | None], None]
    ) -> None:
        result = None
        try:
            result = await request()
        except Exception:
            _log.exception("a request to an agent server went wrong", key=key)
        finally:
            del self._under_way[key]
        over(result)

"""Requests to agent servers beside the workers.

What runs in a pod may let its caller wait as long as it likes, which must not hold up other sandboxes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable

import structlog

AT_ONCE = 256
"""Requests of one kind that are under way."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Beside:
    """Requests of one kind, each under a key."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}

    def begin[T](self, key: Hashable, request: Callable[[], Awaitable[T]], over: Callable[[T | None], None]) -> bool:
        """Make a request, unless that of its key is under way. False when too many are under way.

        `over` is called with what has come of it; None when it went wrong.
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

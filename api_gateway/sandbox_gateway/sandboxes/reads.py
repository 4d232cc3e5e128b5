"""Reads that all callers share who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable


class SharedReads[T]:
    """Calls `read(name)`, once at a time for each name.

    Each caller gets the result of a read that began after the call, so an answer is never older than its question. For
    any number of callers, there is at most one read in progress and one to come.
    """

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        self._read = read
        self._under_way: dict[str, asyncio.Task[T]] = {}
        self._to_come: dict[str, asyncio.Task[T]] = {}

    async def get(self, name: str) -> T:
        """The result of a read that begins from now on. Raises what `read` does."""
        task = self._to_come.get(name)
        if task is None:
            task = self._to_come[name] = asyncio.create_task(self._run(name))
            # All callers may be gone when it fails.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _run(self, name: str) -> T:
        if before := self._under_way.get(name):
            await asyncio.wait([before])
        self._under_way[name] = self._to_come.pop(name)
        try:
            return await self._read(name)
        finally:
            del self._under_way[name]

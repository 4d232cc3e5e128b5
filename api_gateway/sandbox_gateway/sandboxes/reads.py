"""Reads that are shared by all who ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable


class SharedReads[T]:
    """Calls `read(name)`, once at a time for each name.

    Everyone gets what a read has found that began after they had asked: an answer is never older than the question.
    So however many ask at once, there is one read under way and one to come.
    """

    def __init__(self, read: Callable[[str], Awaitable[T]]) -> None:
        self._read = read
        self._under_way: dict[str, asyncio.Task[T]] = {}
        self._to_come: dict[str, asyncio.Task[T]] = {}

    async def get(self, name: str) -> T:
        """What is there now. Raises what `read` does."""
        task = self._to_come.get(name)
        if task is None:
            task = self._to_come[name] = asyncio.create_task(self._run(name))
            # Nobody may be left to hear of a failure.
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

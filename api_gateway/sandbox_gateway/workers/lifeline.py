"""A worker ends with its supervisor, which has the other end of the worker's standard input."""

import asyncio
import sys
from typing import override


class _Lifeline(asyncio.Protocol):
    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop.set()


async def end_with_parent(stop: asyncio.Event) -> None:
    """Set `stop` when the standard input, a pipe, ends."""
    await asyncio.get_running_loop().connect_read_pipe(lambda: _Lifeline(stop), sys.stdin)

"""Limits work that can wait to a small share of the time."""

import asyncio
import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from sandbox_common.waiting import set_within


class Pace:
    """Admits one caller at a time and then pauses, so that at most `share` of the time is used.

    The slower the API server answers, the longer the pauses: explanations must not delay the work that they explain.
    `clock` is monotonic, in seconds.
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = 1 / share - 1
        self._clock = clock
        self._taken = False
        self._free_at = clock()

    @contextmanager
    def turn(self) -> Generator[bool]:
        """Whether it is the caller's turn, which lasts until the block ends. If not, skip the work for now."""
        if self._taken or self._clock() < self._free_at:
            yield False
            return
        self._taken, began = True, self._clock()
        try:
            yield True
        finally:
            ended = self._clock()
            self._taken, self._free_at = False, ended + self._rest * (ended - began)


async def pause(seconds: float, asked: asyncio.Event) -> bool:
    """Sleep a little less than this. If `asked` is set, clear it and return True early."""
    was_asked = await set_within(asked, seconds * random.uniform(0.8, 1.0))  # noqa: S311
    asked.clear()
    return was_asked

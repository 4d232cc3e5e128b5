"""Time that passes only while nothing else is to be done, so that hours take milliseconds and nothing is by chance.

`install` comes before the import of the operator, whose modules keep references to the clocks. It is for a process of
its own.
"""

import asyncio
import random
import secrets
import selectors
import time
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, override

from sandbox_common import times

_BEGIN = datetime(2026, 12, 1, 9, tzinfo=UTC)
_LEAST_SECONDS = 1e-6


class _Clock:
    seconds = 0.0


_clock = _Clock()


class _Wall(datetime):
    """The wall clock of operators."""

    @classmethod
    @override
    def now(cls, tz: tzinfo | None = None) -> "_Wall":
        return cls.fromtimestamp((_BEGIN + timedelta(seconds=_clock.seconds)).timestamp(), tz)


class _Selector(selectors.DefaultSelector):
    """Nothing comes from outside. A wait ends at once: the clock moves to its end."""

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("all wait for each other")
        # The clock always moves a little. Otherwise a wait for a tiny time would never end.
        _clock.seconds += max(timeout, _LEAST_SECONDS)
        return []


def install() -> None:
    """Give this process the virtual clocks, and names that depend on the seed of `random`."""
    time.monotonic = lambda: _clock.seconds
    times.datetime = _Wall
    secrets.token_bytes = lambda nbytes=None: random.randbytes(nbytes or 32)


def run[T](main: Coroutine[Any, Any, T]) -> T:
    """Run this from the beginning of time."""
    _clock.seconds = 0.0
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector())) as runner:
        return runner.run(main)

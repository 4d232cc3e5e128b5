"""A request that is held while its sandbox wakes."""

import asyncio
from collections.abc import Callable

import structlog

from sandbox_gateway.metrics import HELD_REQUESTS
from sandbox_gateway.proxy.answers import RETRY_AFTER, Answer, refuse
from sandbox_gateway.proxy.context import Context
from sandbox_gateway.proxy.routing import ToSleeping

READ_AHEAD = 64 * 1024
"""Bytes of a held request that are read on: without reading, a client that has gone is not noticed."""

_TOO_MANY = refuse(503, "Too many requests wait for sandboxes to wake. Send this one again in a moment.", RETRY_AFTER)

_log = structlog.get_logger()


class Hold:
    """Ends with one call of `done`, or with `cancel`. Made by `hold`."""

    def __init__(self, context: Context, runtime_id: str, size: int, done: Callable[[Answer | None], None]) -> None:
        self._context = context
        self._runtime_id = runtime_id
        self._size = size
        self._done = done
        HELD_REQUESTS.inc()
        loop = asyncio.get_running_loop()
        self._until = min(loop.time() + context.limits.wake_hold_seconds, context.held_until)
        self._timer = loop.call_at(self._until, self._late)
        self._waiting = loop.create_task(self._wait())

    def receive(self, size: int) -> None:
        """So many more bytes have come from the client."""
        if self._context.places.grow(size):
            self._size += size
        else:
            self._end(_TOO_MANY)

    def drain(self) -> None:
        """The gateway is about to end: wait no longer than it does."""
        if self._context.held_until < self._until:
            self._until = self._context.held_until
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(self._until, self._late)

    def cancel(self) -> None:
        """The client is gone."""
        self._waiting.cancel()
        self._leave()

    def _end(self, answer: Answer | None) -> None:
        self.cancel()
        self._done(answer)

    def _late(self) -> None:
        self._end(None)

    async def _wait(self) -> None:
        try:
            await self._context.waker.wake(self._runtime_id)
        except Exception:
            _log.exception("wake_failed", runtime_id=self._runtime_id)  # the client is to be answered all the same
        self._leave()
        self._done(None)

    def _leave(self) -> None:
        self._timer.cancel()
        HELD_REQUESTS.dec()
        self._context.places.leave(self._runtime_id, self._size)


def hold(context: Context, target: ToSleeping, size: int, done: Callable[[Answer | None], None]) -> Hold | Answer:
    """Hold a request of which `size` bytes have come, or refuse to.

    `done(None)` says that it is to be routed again, since the sandbox is awake or the time is over; `done(answer)` how
    it is to be answered.
    """
    if not context.places.take(target.runtime_id, size):
        return _TOO_MANY
    return Hold(context, target.runtime_id, size, done)


def not_woken(target: ToSleeping) -> Answer:
    """The answer to a request that still is to wake its sandbox after it has been held."""
    return refuse(503, f"The sandbox has not been woken in time. {target.detail}", RETRY_AFTER)

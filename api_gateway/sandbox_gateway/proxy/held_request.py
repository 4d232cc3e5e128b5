"""A request that is held while its sandbox wakes, or until this replica knows the sandbox."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from sandbox_gateway.contract.retry import RETRY, Passing
from sandbox_gateway.process.metrics import HELD_REQUESTS
from sandbox_gateway.proxy.answers import Answer, refuse_for_now
from sandbox_gateway.proxy.context import Context
from sandbox_gateway.proxy.routing import ToSleeping, ToUnknown

READ_AHEAD = 64 * 1024
"""Bytes of a held request that the gateway reads. Without reading, it would not notice that the client is gone."""

_TOO_MANY = refuse_for_now(
    Passing.TOO_MANY_HELD, f"Too many requests are waiting for sandboxes. Retry in {RETRY[Passing.TOO_MANY_HELD][1]} s."
)
_NOT_KNOWN = refuse_for_now(
    Passing.NOT_KNOWN, "This replica does not know the sandbox of this session key yet. Try again in a moment."
)
_UNKNOWN = ""
"""In place of runtime id and owner: unknown sandboxes share the places of one."""

_log = structlog.get_logger(__name__)


class HeldRequest:
    """Ends with one call of `done`, or with `cancel`. Made by `hold_request`."""

    def __init__(
        self,
        context: Context,
        owner: str,
        runtime_id: str,
        wait: Callable[[], Awaitable[None]],
        size: int,
        done: Callable[[Answer | None], None],
    ) -> None:
        """Hold it until `wait` returns."""
        self._context = context
        self._runtime_id = runtime_id
        self._owner = owner
        self._size = size
        self._done = done
        HELD_REQUESTS.inc()
        loop = asyncio.get_running_loop()
        self._until = min(loop.time() + context.bounds.wake_hold_seconds, context.held_until)
        self._timer = loop.call_at(self._until, self._late)
        self._waiting = loop.create_task(self._wait(wait))

    def receive(self, size: int) -> None:
        """The client has sent this many more bytes."""
        if self._context.places.grow(self._owner, size):
            self._size += size
        else:
            self._end(_TOO_MANY)

    def drain(self) -> None:
        """The gateway is about to end: answer before that."""
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

    async def _wait(self, wait: Callable[[], Awaitable[None]]) -> None:
        try:
            await wait()
        except Exception:
            _log.exception("hold_failed", runtime_id=self._runtime_id)  # the client gets an answer nevertheless
        self._leave()
        self._done(None)

    def _leave(self) -> None:
        self._timer.cancel()
        HELD_REQUESTS.dec()
        self._context.places.leave(self._owner, self._runtime_id, self._size)


def hold_request(
    context: Context, target: ToSleeping | ToUnknown, size: int, done: Callable[[Answer | None], None]
) -> HeldRequest | Answer:
    """Hold a request with `size` received bytes, or refuse it.

    `done(None)` means: route it again, since the sandbox is awake (or known) or the time is over. `done(answer)` means:
    send this answer.
    """
    runtime_id, owner = (target.runtime_id, target.owner) if isinstance(target, ToSleeping) else (_UNKNOWN, _UNKNOWN)
    if not context.places.take(owner, runtime_id, size):
        return _TOO_MANY
    if isinstance(target, ToSleeping):
        wait = partial(context.waker.wake, runtime_id)
    else:
        wait = partial(context.directory.await_sandbox, target.key)
    return HeldRequest(context, owner, runtime_id, wait, size, done)


def held_in_vain(target: ToSleeping | ToUnknown) -> Answer:
    """The answer to a request that has already been held for this target."""
    if isinstance(target, ToUnknown):
        return _NOT_KNOWN
    return refuse_for_now(Passing.NOT_WOKEN, f"The sandbox did not wake in time. {target.detail}")

"""Wakes sandboxes that were suspended as idle: with one write each, for any number of requests."""

import asyncio
from contextlib import suppress

import structlog

from sandbox_common.kube import FAILURES
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.specs import RUNNING, is_idle
from sandbox_common.sandboxes.view import View
from sandbox_common.spans import OpenSpan, Tracing, attributes_of, traced
from sandbox_gateway.contract.errors import NoSandboxError
from sandbox_gateway.sandboxes.api import Sandboxes
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from sandbox_gateway.sandboxes.starts import Starts

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_AGAIN_SECONDS = 1.0
_JOINABLE_HOLDS = 1.5
"""How long requests can join a wake, in holds. A busy process may end a hold late, and then asks once more."""


class Wakes:
    """Implements the data plane's `Waker`.

    A request within `hold_seconds` of a resume, or a little later, joins that wake, whichever replica began it. A later
    request gets the reason why the sandbox is not ready at once.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        held_calls: HeldCalls,
        starts: Starts,
        *,
        hold_seconds: float,
        tracing: Tracing | None = None,
    ) -> None:
        self._sandboxes = sandboxes
        self._starts = starts
        self._tracing = tracing
        self._held_calls = held_calls
        self._hold_seconds = hold_seconds
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._joinable_until: dict[str, float] = {}
        sandboxes.cache.suspensions.on_woken.append(self._resumed)
        sandboxes.cache.listen(lambda name, sandbox: None if sandbox else self._forget(name))

    def under_way(self, name: str) -> bool:
        """Whether this sandbox, which is no longer suspended, is waking."""
        until = self._joinable_until.get(name)
        if until is None:
            return False
        if asyncio.get_running_loop().time() < until:
            return True
        del self._joinable_until[name]
        return False

    async def wake(self, runtime_id: str) -> None:
        """Return when the sandbox is ready, or when it is useless to wait longer."""
        task = self._tasks.get(runtime_id)
        if task is None:
            task = self._tasks[runtime_id] = asyncio.create_task(self._wake(runtime_id))
            task.add_done_callback(lambda _: self._tasks.pop(runtime_id))
        await asyncio.shield(task)

    def _resumed(self, name: str) -> None:
        self._joinable_until[name] = asyncio.get_running_loop().time() + _JOINABLE_HOLDS * self._hold_seconds

    def _forget(self, name: str) -> None:
        """The sandbox has been deleted."""
        self._joinable_until.pop(name, None)

    async def _wake(self, name: str) -> None:
        requested_at = asyncio.get_running_loop().time()
        # Requests of several traces may wait for it, so it has one of its own.
        with suppress(NoSandboxError, TimeoutError), traced(self._tracing, "wake sandbox") as span:
            async with asyncio.timeout(self._hold_seconds):
                await self._resume(name, requested_at, span)
            # Twice: the last request to join is held as long as the first.
            sandbox, seen = await self._held_calls.until(name, _is_settled, 2 * self._hold_seconds, to_the_end=True)
            if span:
                span.describe(attributes_of(sandbox))
            if _is_settled(seen):
                self._joinable_until.pop(name, None)

    async def _resume(self, name: str, requested_at: float, span: OpenSpan | None) -> None:
        """End the suspension, if it still is one for idleness."""
        while (sandbox := self._sandboxes.cache.get(name)) is not None and is_idle(sandbox):
            try:
                # None: another replica was faster, or the operator wrote the status.
                if resumed := await self._sandboxes.set_spec(sandbox, RUNNING, span):
                    self._starts.begin(resumed, requested_at, wakes=True)
                    _log.info("sandbox woken", sandbox=name)
            except FAILURES as error:
                _log.warning("sandbox cannot be woken", sandbox=name, error=str(error), retry_in=_AGAIN_SECONDS)
                await asyncio.sleep(_AGAIN_SECONDS)


def _is_settled(seen: View) -> bool:
    # A node may be lost for hours.
    return seen.status != "starting" or seen.reason == Reason.NODE_LOST

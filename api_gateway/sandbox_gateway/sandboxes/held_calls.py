"""Holds the answers to calls until a sandbox has settled."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from sandbox_common.sandboxes.view import View, view
from sandbox_common.waiting import set_within
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import NoSandboxError
from sandbox_gateway.process.metrics import HELD_CALLS
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.health import HealthChecks

_PROBE_AGAIN_SECONDS = 0.25


class HeldCalls:
    """Looks at sandboxes, and waits for them: for their changes, the end of their pending timeout, and the probe."""

    def __init__(self, cache: SandboxCache, health: HealthChecks, classes: SandboxClasses) -> None:
        self._cache = cache
        self._health = health
        self._classes = classes
        self._released = False
        self._events: set[asyncio.Event] = set()

    def release(self) -> None:
        """End all holds now, and begin no new ones: the process is about to end."""
        self._released = True
        for event in self._events:
            event.set()

    async def until(
        self, name: str, settled: Callable[[View], bool], seconds: float, *, to_the_end: bool = False
    ) -> tuple[Sandbox, View]:
        """The sandbox once `settled` holds for it, or as it is after `seconds`.

        `release` ends the wait, since a call may answer that a sandbox is starting, but not a wait `to_the_end`. Raises
        NoSandboxError when the sandbox is deleted meanwhile.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        with self._cache.watching(name) as changed:
            self._events.add(changed)
            try:
                while True:
                    changed.clear()
                    sandbox, seen = await self._look(name, deadline)
                    left = deadline - loop.time()
                    if settled(seen) or left <= 0 or (self._released and not to_the_end):
                        return sandbox, seen
                    with HELD_CALLS.track_inprogress():
                        await set_within(changed, min(left, _until_change(seen)))
            finally:
                self._events.discard(changed)

    def peek(self, name: str) -> tuple[Sandbox, View] | None:
        """The sandbox as it is, even if its pod has not been probed; None if it is gone."""
        sandbox = self._cache.get(name)
        if sandbox is None:
            return None
        seen = self._view(sandbox, reached=self._health.reached(sandbox))
        return sandbox, replace(seen, refused=self._health.failure(sandbox)) if seen.unreached else seen

    def now(self, name: str) -> tuple[Sandbox, View] | None:
        """The sandbox as it is; None if it is gone, or its pod must be probed first."""
        found = self.peek(name)
        return None if found is None or found[1].unreached else found

    async def _look(self, name: str, deadline: float) -> tuple[Sandbox, View]:
        if found := self.now(name):
            return found
        sandbox = self._cache.get(name)
        if sandbox is None:
            raise NoSandboxError
        try:
            # Even without a hold there is one full probe: otherwise nothing would ever be ready.
            async with asyncio.timeout_at(max(deadline, asyncio.get_running_loop().time() + 1)):
                reached = await self._health.probe(sandbox)
        except TimeoutError:
            reached = False
        # The probe took time: look again.
        sandbox = self._cache.get(name)
        if sandbox is None:
            raise NoSandboxError
        seen = self._view(sandbox, reached=reached and self._health.reached(sandbox))
        return sandbox, replace(seen, refused=self._health.failure(sandbox)) if seen.unreached else seen

    def _view(self, sandbox: Sandbox, *, reached: bool) -> View:
        class_ = self._classes.spec(sandbox.spec.class_name)
        left = self._cache.suspensions.has_left(sandbox)
        return view(sandbox, datetime.now(UTC), reached=reached, class_=class_, left=left)


def _until_change(seen: View) -> float:
    """Seconds until this view may change without a change in the API server."""
    if seen.unreached:
        return _PROBE_AGAIN_SECONDS
    if seen.changes_at is not None:
        return max(0.0, (seen.changes_at - datetime.now(UTC)).total_seconds())
    return float("inf")

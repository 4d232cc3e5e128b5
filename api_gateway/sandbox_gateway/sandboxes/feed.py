"""Follows the changes of sandboxes, from the cache alone: no follower costs the API server anything.

A follower keeps only the names of sandboxes that have changed since it last took them. So a slow one gets the newest
state of each sandbox, once, and never has more than one name for each sandbox in memory.
"""

import asyncio
from collections.abc import Collection, Generator, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from math import inf

from sandbox_common.kube import unreadable
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View
from sandbox_common.waiting import set_within
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import NoSandboxError
from sandbox_gateway.sandboxes.api import Reach
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from sandbox_gateway.sandboxes.limit_checks import LimitChecks, Queue

_PROBE_AGAIN_SECONDS = 5.0
"""Between two probes of a pod that does not answer, for all followers together."""
_PROBES = 16
"""Probes in progress at a time."""
_LOOK_AGAIN_SECONDS = 15.0
"""A place in a queue, and the progress of a pull, change without a change of the Sandbox."""
_UNREADABLE = (ValueError, TypeError, OverflowError)


class Follower:
    """Names of the sandboxes of `reach` that one client has not seen in their newest state."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._names: dict[str, None] = {}
        self._later: dict[str, float] = {}
        """Loop time of the next look at sandboxes that change by themselves."""
        self._next = inf
        self._noticed = asyncio.Event()

    def notice(self, name: str) -> None:
        """This sandbox has changed."""
        self._names[name] = None
        self._noticed.set()

    def look_again(self, name: str, seconds: float) -> None:
        """Count this sandbox as changed after so long."""
        self._later[name] = due = asyncio.get_running_loop().time() + seconds
        self._next = min(self._next, due)

    async def wait(self, seconds: float) -> bool:
        """Whether there is something to take, at once or within this time."""
        loop = asyncio.get_running_loop()
        await set_within(self._noticed, max(0.0, min(seconds, self._next - loop.time())))
        if self._next <= loop.time():
            due = [name for name, time in self._later.items() if time <= loop.time()]
            for name in due:
                del self._later[name]
                self.notice(name)
            self._next = min(self._later.values(), default=inf)
        return bool(self._names)

    def take(self, most: int) -> list[str]:
        """Some of the names, the oldest changes first; empty if there are no more."""
        taken = [name for name, _ in zip(self._names, range(most), strict=False)]
        for name in taken:
            del self._names[name]
            self._later.pop(name, None)
        if not self._names:
            self._noticed.clear()
        return taken


class Feed:
    """The sandboxes of one namespace. Must be made before the cache's informer runs."""

    def __init__(self, cache: SandboxCache, held_calls: HeldCalls, limit_checks: LimitChecks) -> None:
        self._cache = cache
        self._held_calls = held_calls
        self._limit_checks = limit_checks
        self._followers: set[Follower] = set()
        self._probed: dict[str, float] = {}
        """Loop time at which a pod was last probed for followers."""
        self._to_probe: dict[str, None] = {}
        self._probing: set[asyncio.Task[None]] = set()
        self._queues: dict[str, tuple[float, Queue]] = {}
        cache.listen(lambda name, sandbox: None if sandbox else self._forget(name))
        cache.follow(self._changed)

    @contextmanager
    def follow(self, reach: Reach) -> Generator[Follower]:
        """A follower, until the context ends."""
        follower = Follower(reach)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def names(self, reach: Reach) -> Collection[str]:
        """Names of all sandboxes of this reach, the oldest first."""
        owned = self._cache.owned_by(reach)
        owned.sort(key=lambda sandbox: (sandbox.metadata.creation_timestamp, sandbox.metadata.name))
        return [sandbox.metadata.name for sandbox in owned]

    def look(self, follower: Follower, name: str) -> tuple[Sandbox, View] | None:
        """The sandbox as it is; None if it is gone for this follower, or unreadable. Plans the next look."""
        try:
            found = self._held_calls.peek(name)
        except _UNREADABLE as error:
            unreadable.report(SANDBOXES, name, error)
            return None
        if found is None or follower.reach not in {None, found[0].spec.owner}:
            return None
        sandbox, seen = found
        if seen.unreached:
            self._probe(name)
            follower.look_again(name, _PROBE_AGAIN_SECONDS)
        elif seen.changes_at is not None:
            left = (seen.changes_at - datetime.now(UTC)).total_seconds()
            follower.look_again(name, min(max(left, 0.0) + 0.1, _LOOK_AGAIN_SECONDS))
        elif seen.reason == Reason.QUEUED or (seen.reason == Reason.STARTING and sandbox.status.pull):
            follower.look_again(name, _LOOK_AGAIN_SECONDS)
        if seen.reason != Reason.QUEUED:
            return found
        return sandbox, self._limit_checks.with_place(sandbox, seen, self._queue(sandbox.spec.owner))

    def _queue(self, owner: str) -> Queue:
        """The owner's queue, at most a second old: many of its sandboxes may be looked at."""
        now = asyncio.get_running_loop().time()
        made, queue = self._queues.get(owner, (-inf, {}))
        if now - made >= 1:
            self._queues = {whose: entry for whose, entry in self._queues.items() if now - entry[0] < 1}
            queue = self._limit_checks.queue(owner)
            self._queues[owner] = now, queue
        return queue

    def _forget(self, name: str) -> None:
        self._probed.pop(name, None)
        self._to_probe.pop(name, None)

    def _changed(self, name: str, owners: Set[str]) -> None:
        for follower in self._followers:
            if follower.reach is None or follower.reach in owners:
                follower.notice(name)

    def _probe(self, name: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._probed.get(name, -inf) < _PROBE_AGAIN_SECONDS / 2:
            return
        self._probed[name] = now
        self._to_probe[name] = None
        if len(self._probing) < _PROBES:
            task = asyncio.create_task(self._probe_all())
            self._probing.add(task)
            task.add_done_callback(self._probing.discard)

    async def _probe_all(self) -> None:
        while self._to_probe:
            name = next(iter(self._to_probe))
            del self._to_probe[name]
            try:
                sandbox, _ = await self._held_calls.until(name, lambda _: True, 0)
            except (NoSandboxError, *_UNREADABLE):
                continue
            self._changed(name, {sandbox.spec.owner})

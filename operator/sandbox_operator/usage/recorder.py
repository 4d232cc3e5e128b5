"""Records the use of all owners during a leader's term. It has no part in the life of a sandbox."""

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import structlog

from sandbox_common import times
from sandbox_common.kube import FAILURES, ApiError, unreadable
from sandbox_common.kube.objects import Objects
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.usage import Span, newest, seconds
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.process import metrics
from sandbox_operator.usage.api import UsageApi
from sandbox_operator.usage.ledger import LATE, SETTLED, OwnerLedger
from sandbox_operator.usage.observation import observed
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.workers import work

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_RETRY_SECONDS = 60.0
_LEAST_SECONDS = 5.0
_LONGEST_SECONDS = 3600.0
"""The wall clock may be set, so a time that is far away is looked at again."""


class UsageRecorder:
    """Observes all sandboxes, and writes what their owners have used. `now` is the wall clock in UTC."""

    def __init__(
        self,
        api: UsageApi,
        queue: WorkQueue,
        sandboxes: Objects[Sandbox],
        classes: Objects[SandboxClass],
        pods_of: Callable[[str], Iterable[Pod]],
        now: Callable[[], datetime] = times.utc_now,
    ) -> None:
        self._api = api
        self._sandboxes = sandboxes
        self._classes = classes
        self._pods_of = pods_of
        self._now = now
        self._queue = queue
        self._ledgers: dict[str, OwnerLedger] = {}
        self._seen: dict[str, tuple[str, str]] = {}
        """UID and owner of each sandbox by name."""
        self._failing: set[str] = set()
        """Owners whose last write has failed."""
        self._began = False
        self._late = 0

    async def run(self) -> None:
        """Record until cancelled."""
        try:
            await self._until_begun()
            await work(self._queue, self.record, "owner")
        finally:
            metrics.USAGE_FAILING.set(0)
            self._queue.close()

    async def _until_begun(self) -> None:
        while True:
            if await self.begin():
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def begin(self) -> bool:
        """Go on from the records and the present sandboxes. Returns whether the records could be read."""
        try:
            async for head in self._api.heads():
                self._ledgers[head.owner] = OwnerLedger(head.through, head.newest)
        except (*FAILURES, LookupError, TypeError, ValueError) as error:
            self._ledgers.clear()
            _log.warning("usage cannot be recorded", error=str(error) or type(error).__name__)
            metrics.USAGE_FAILING.set(1)
            return False
        metrics.USAGE_FAILING.set(0)
        self._began = True
        for name in [sandbox.metadata.name for sandbox in self._sandboxes]:
            self.changed(name)
            await asyncio.sleep(0)
        # Until here, no news was late: the records have everything until their own time.
        self._late = LATE
        for owner in list(self._ledgers):
            self._put_off(owner)
        return True

    def changed(self, name: str) -> None:
        """This Sandbox, its class or one of its pods is new, changed or gone."""
        if not self._began:
            return
        sandbox, known = self._sandboxes.get(name), self._seen.get(name)
        if known and (sandbox is None or (sandbox.metadata.uid, sandbox.spec.owner) != known):
            del self._seen[name]
            self._see(*known, {})
        if sandbox:
            metadata, pods = sandbox.metadata, self._pods_of(sandbox.metadata.uid)
            try:
                found = observed(sandbox, pods, self._classes.get(sandbox.spec.class_name), self._now())
            except Exception as error:
                # Otherwise one unreadable object would end each operator's term.
                unreadable.report(SANDBOXES, name, error)
                return
            self._seen[name] = metadata.uid, sandbox.spec.owner
            self._see(metadata.uid, sandbox.spec.owner, found)

    async def record(self, owner: str) -> None:
        """Write what this owner has used, if it is due. Raises what UsageApi raises."""
        ledger = self._ledgers.get(owner)
        due = ledger.due() if ledger else None
        if ledger and due is not None and due <= self._second():
            with self._watched(owner):
                await self._write(owner, ledger)
            self._queue.forget(owner)
        self._put_off(owner)

    @contextmanager
    def _watched(self, owner: str) -> Generator[None]:
        """Show whether the write inside fails. A conflict is repaired by the next attempt, so it is no failure."""
        try:
            yield
        except Exception as error:
            if not (isinstance(error, ApiError) and error.code == 409):
                self._failing.add(owner)
            raise
        else:
            self._failing.discard(owner)
        finally:
            metrics.USAGE_FAILING.set(len(self._failing))

    async def _write(self, owner: str, ledger: OwnerLedger) -> None:
        found = await self._api.find(owner)
        days = found.status.days if found else {}
        through = seconds(found.status.through) if found and found.status.through else 0
        if through != ledger.through:
            # An earlier write has succeeded although its answer was lost, or somebody has changed the record.
            ledger.rebase(through)
        ledger.newest, now = newest(days), self._second()
        if found and ledger.has_expired(now):
            await self._api.delete(found)
            ledger.rebase(0)
            return
        draft = ledger.draft(days, now - SETTLED, now)
        if draft.days == days:
            draft = replace(draft, through=through)
        elif found:
            await self._api.write(found, draft.days, draft.through)
        else:
            await self._api.create(owner, draft.days, draft.through)
        ledger.recorded(draft)

    def _see(self, uid: str, owner: str, found: Mapping[str, Span]) -> None:
        if not found and owner not in self._ledgers:
            return
        self._ledgers.setdefault(owner, OwnerLedger()).see(uid, found, self._second(), self._late)
        self._put_off(owner)

    def _put_off(self, owner: str) -> None:
        """Come back to this owner when it is due."""
        ledger = self._ledgers.get(owner)
        due = ledger.due() if ledger else None
        if due is None:
            self._ledgers.pop(owner, None)
            self._queue.drop(owner)
            self._failing.discard(owner)
            return
        self._queue.add_after(owner, min(max(due - self._second(), _LEAST_SECONDS), _LONGEST_SECONDS))

    def _second(self) -> int:
        return int(self._now().timestamp())

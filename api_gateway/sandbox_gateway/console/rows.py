"""The rows of all Sandboxes, each made once for a change of it, whoever looks."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Generator, Set
from contextlib import contextmanager
from datetime import datetime

from sandbox_common.kube import unreadable
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_common.redaction import redacted
from sandbox_common.sandboxes.view import View, view
from sandbox_common.times import utc_now
from sandbox_crds.models import Sandbox
from sandbox_gateway.console.selection import Query, Row, Selection, select
from sandbox_gateway.proxy.steps import in_steps
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses

ALL = None
_SELECTIONS = 64
_FRESH_SECONDS = 10.0
"""A delayed start fails although its Sandbox does not change."""

type Scope = str | None
"""An owner; or `ALL`, for administrators."""


class Rows:
    """The Sandboxes of one namespace as rows. `now` is the wall clock in UTC."""

    def __init__(self, cache: SandboxCache, classes: SandboxClasses, now: Callable[[], datetime] = utc_now) -> None:
        self._cache = cache
        self._classes = classes
        self._now = now
        self._rows: dict[str, Row] = {}
        self._stale: set[str] = set()
        """Names whose row must be made again."""
        self._due: dict[str, datetime] = {}
        """When a row changes although its Sandbox does not: a delayed start fails."""
        self._watching: defaultdict[Scope, set[asyncio.Event]] = defaultdict(set)
        self._selections: dict[tuple[Scope, Query], tuple[float, Selection]] = {}
        """Since the last change of the scope, with the time at which each was made."""
        cache.follow(self._on_change)

    async def select(self, scope: Scope, query: Query) -> Selection:
        """A page of a table. All who ask for the same one after a change share the work."""
        now = self._now().timestamp()
        known = self._selections.get((scope, query))
        if known is not None and 0 <= now - known[0] < _FRESH_SECONDS:
            return known[1]
        selection = select(await self._of(scope), query)
        if not self._stale:  # else something has changed meanwhile
            self._selections[scope, query] = now, selection
            if len(self._selections) > _SELECTIONS:
                del self._selections[next(iter(self._selections))]
        return selection

    @contextmanager
    def watching(self, scope: Scope) -> Generator[asyncio.Event]:
        """An event that is set at each change of the scope; the caller clears it."""
        event = asyncio.Event()
        self._watching[scope].add(event)
        try:
            yield event
        finally:
            self._watching[scope].discard(event)
            if not self._watching[scope]:
                del self._watching[scope]

    async def _of(self, scope: Scope) -> list[Row]:
        now = self._now()
        due = [name for name, at in self._due.items() if now >= at]
        async for name in in_steps([*self._stale, *due]):
            self._make(name, now)
        return [row for row in self._rows.values() if scope in {ALL, row.owner}]

    def _make(self, name: str, now: datetime) -> None:
        self._forget(name)
        sandbox = self._cache.get(name)
        if sandbox is None:
            return
        try:
            # Whether the gateway has reached its pod is not asked: that would be a request to each.
            left = self._cache.suspensions.has_left(sandbox)
            seen = view(sandbox, now, reached=True, class_=self._classes.spec(sandbox.spec.class_name), left=left)
            self._rows[name] = row_of(sandbox, seen)
        except (ValueError, TypeError, OverflowError) as error:
            unreadable.report(SANDBOXES, name, error)
        else:
            if seen.changes_at is not None:
                self._due[name] = seen.changes_at

    def _forget(self, name: str) -> None:
        self._stale.discard(name)
        self._rows.pop(name, None)
        self._due.pop(name, None)

    def _on_change(self, name: str, owners: Set[str]) -> None:
        if self._cache.get(name) is None:
            self._forget(name)
        else:
            self._stale.add(name)
        scopes = {ALL, *owners}
        for outdated in [key for key in self._selections if key[0] in scopes]:
            del self._selections[outdated]
        for scope in scopes:
            for event in self._watching.get(scope, ()):
                event.set()


def row_of(sandbox: Sandbox, seen: View) -> Row:
    """The row of a sandbox with this view."""
    spec, status = sandbox.spec, sandbox.status
    condition = status.condition("Ready")
    return Row(
        runtime_id=sandbox.metadata.name,
        session_id=redacted(spec.session_id),
        owner=spec.owner,
        state=seen.status,
        reason=seen.reason,
        image=redacted(spec.image),
        class_name=spec.class_name,
        launch=status.launch,
        pool=status.pool,
        created=sandbox.metadata.creation_timestamp,
        idle_since=condition.last_transition_time if condition and seen.reason == Reason.IDLE else "",
    )

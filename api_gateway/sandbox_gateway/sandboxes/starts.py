"""Measures the starts that calls and requests of this replica began: how long each one takes, and how it ends."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from sandbox_common.reasons import Lifecycle
from sandbox_common.sandboxes.view import view
from sandbox_crds.models import Sandbox
from sandbox_gateway.process.metrics import observe_start
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses

_RESULTS: dict[Lifecycle, str] = {"running": "Ready", "error": "Failed", "paused": "Paused"}
_DELETED = "Deleted"
_WAKE = "Wake"


@dataclass(slots=True)
class _Start:
    uid: str
    former_pod: str
    called_at: float
    launch: str
    patience: asyncio.TimerHandle | None = None
    """Looks again at the time when the sandbox may have failed although nothing changed."""


class Starts:
    """Observes each start once, when the cache shows its end, for `metrics.START_SECONDS`.

    A start begins with the call whose write makes a sandbox run, or with the request whose write wakes it; those that
    find it in progress do not count. It ends
    when the sandbox is Ready, when it has failed for its clients, or when it is paused or deleted. Only starts in
    progress are remembered, so there is at most one for each Sandbox of the cache. They end with the process.
    """

    def __init__(self, cache: SandboxCache, classes: SandboxClasses) -> None:
        self._cache = cache
        self._classes = classes
        self._under_way: dict[str, _Start] = {}
        cache.listen(self._see)

    def begin(self, sandbox: Sandbox, called_at: float, *, wakes: bool = False) -> None:
        """A call that came at `called_at` (loop time) makes this Sandbox run, which is now as that write left it.

        `wakes`: it was a request to an idle sandbox, and no call of the Runtime API.
        """
        name, status = sandbox.metadata.name, sandbox.status
        launch = _WAKE if wakes else "Resume" if status.first_ready_time else "Cold"
        self._under_way.setdefault(name, _Start(sandbox.metadata.uid, status.pod_uid, called_at, launch))
        # The cache may already be ahead of the write's answer.
        self._see(name, self._cache.get(name))

    def _see(self, name: str, sandbox: Sandbox | None) -> None:
        start = self._under_way.get(name)
        if start is None:
            return
        if start.patience is not None:
            start.patience.cancel()
        if sandbox is None or sandbox.metadata.uid != start.uid:
            self._end(name, start, _DELETED)
            return
        if start.launch != _WAKE and sandbox.status.pod_uid not in {"", start.former_pod}:
            start.launch = sandbox.status.launch or start.launch
        now = datetime.now(UTC)
        class_, left = self._classes.spec(sandbox.spec.class_name), self._cache.suspensions.has_left(sandbox)
        seen = view(sandbox, now, reached=True, class_=class_, left=left)
        if seen.status != "starting":
            self._end(name, start, _RESULTS[seen.status])
        elif seen.changes_at is not None:
            left = max(0.0, (seen.changes_at - now).total_seconds())
            start.patience = asyncio.get_running_loop().call_later(left, self._look_again, name)

    def _look_again(self, name: str) -> None:
        self._see(name, self._cache.get(name))

    def _end(self, name: str, start: _Start, result: str) -> None:
        del self._under_way[name]
        observe_start(start.launch, result, asyncio.get_running_loop().time() - start.called_at)

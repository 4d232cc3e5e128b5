"""Notices in the cache when sandboxes lose their pods."""

from collections.abc import Callable

from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.cache import SandboxCache


class Departures:
    """Calls each of `on_gone` with a sandbox's name when it was deleted, or has another pod than before, or none.

    A pod on a lost node counts as none. It closes no connections, so requests to it may never get an answer.
    """

    def __init__(self, cache: SandboxCache) -> None:
        self.on_gone: list[Callable[[str], None]] = []
        self._pods: dict[str, str] = {}
        cache.listen(self._see)

    def _see(self, name: str, sandbox: Sandbox | None) -> None:
        before = self._pods.get(name, "")
        now = sandbox.status.pod_uid if sandbox and not _is_on_lost_node(sandbox) else ""
        if before == now:
            return
        if now:
            self._pods[name] = now
        else:
            del self._pods[name]
        if before:
            for report in self.on_gone:
                report(name)


def _is_on_lost_node(sandbox: Sandbox) -> bool:
    condition = sandbox.status.condition("Ready")
    return condition is not None and condition.reason == Reason.NODE_LOST

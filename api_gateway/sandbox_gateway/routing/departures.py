"""Pods that stop being their sandboxes', as the cache shows it."""

from collections.abc import Callable

from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.cache import SandboxCache


class Departures:
    """Calls each of `on_gone` with a sandbox's name when it has been deleted, or has another pod than before, or none.

    A pod on a lost node is none. What is under way to it may get no answer any more: it closes no connection.
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
            for tell in self.on_gone:
                tell(name)


def _is_on_lost_node(sandbox: Sandbox) -> bool:
    condition = sandbox.status.condition("Ready")
    return condition is not None and condition.reason == Reason.NODE_LOST

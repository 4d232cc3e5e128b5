"""Sandboxes that are suspended and resumed, as the cache shows it."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.cache import SandboxCache


@dataclass(slots=True)
class _Suspension:
    idle: bool
    pod_uid: str
    over: bool = False


class Suspensions:
    """Tells of changes once: `on_suspended(name)`, and `on_woken(name)` when an idle one is resumed, by whomever."""

    def __init__(self, cache: SandboxCache) -> None:
        self.on_suspended: list[Callable[[str], None]] = []
        self.on_woken: list[Callable[[str], None]] = []
        self._suspensions: dict[str, _Suspension] = {}
        cache.listen(self._see)

    def has_left(self, sandbox: Sandbox) -> bool:
        """Whether the status still speaks of the pod that ended with a suspension, or with a restart by the spec.

        Until the operator has seen the latest spec, that pod's address is not to be used: it may be another's by now.
        Other changes of the spec leave the pod alone: they must not keep requests away, even while no operator runs.
        """
        status = sandbox.status
        if status.observed_generation >= sandbox.metadata.generation or not status.pod_uid:
            return False
        known = self._suspensions.get(sandbox.metadata.name)
        suspended = known is not None and known.pod_uid == status.pod_uid
        return suspended or status.start_time < sandbox.spec.restarted_at

    def _see(self, name: str, sandbox: Sandbox | None) -> None:
        known = self._suspensions.get(name)
        if sandbox is None:
            self._suspensions.pop(name, None)
        elif sandbox.spec.suspend:
            idle = sandbox.spec.suspend_reason == "Idle"
            self._suspensions[name] = _Suspension(idle, sandbox.status.pod_uid)
            if known is None or known.over:
                for tell in self.on_suspended:
                    tell(name)
        elif known is not None:
            if not known.over:
                known.over = True
                if known.idle:
                    for tell in self.on_woken:
                        tell(name)
            if sandbox.status.observed_generation >= sandbox.metadata.generation:
                del self._suspensions[name]

"""Sandboxes that are suspended and resumed, as the cache shows it."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes.view import is_seen


def is_idle(sandbox: Sandbox) -> bool:
    """Whether it is suspended, and a request wakes it: not if a client or kubectl paused it, or its start failed."""
    return sandbox.spec.suspend and sandbox.spec.suspend_reason == "Idle"


@dataclass(slots=True)
class _Suspension:
    idle: bool
    pod_uid: str
    over: bool = False


class Suspensions:
    """Tells of changes once: `on_suspended(name)`, and `on_woken(name)` when an idle one is resumed, by whomever."""

    def __init__(self, listen: Callable[[Callable[[str, Sandbox | None], None]], None]) -> None:
        self.on_suspended: list[Callable[[str], None]] = []
        self.on_woken: list[Callable[[str], None]] = []
        self._suspensions: dict[str, _Suspension] = {}
        listen(self._see)

    def has_left(self, sandbox: Sandbox) -> bool:
        """Whether the status still speaks of the pod that ended with a suspension, or with a restart by the spec.

        Until the operator has seen the latest spec, that pod's address is not to be used: it may be another's by now.
        Other changes of the spec leave the pod alone: they must not keep requests away, even while no operator runs.
        """
        status = sandbox.status
        if is_seen(sandbox) or not status.pod_uid:
            return False
        known = self._suspensions.get(sandbox.metadata.name)
        suspended = known is not None and known.pod_uid == status.pod_uid
        return suspended or status.start_time < sandbox.spec.restarted_at

    def _see(self, name: str, sandbox: Sandbox | None) -> None:
        known = self._suspensions.get(name)
        if sandbox is None:
            self._suspensions.pop(name, None)
        elif sandbox.spec.suspend:
            self._suspensions[name] = _Suspension(is_idle(sandbox), sandbox.status.pod_uid)
            if known is None or known.over:
                for tell in self.on_suspended:
                    tell(name)
        elif known is not None:
            if not known.over:
                known.over = True
                if known.idle:
                    for tell in self.on_woken:
                        tell(name)
            if is_seen(sandbox):
                del self._suspensions[name]

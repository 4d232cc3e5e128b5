"""Notices in the cache when sandboxes are suspended and resumed."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox_common.sandboxes.specs import is_idle
from sandbox_common.sandboxes.view import is_restarted, is_seen
from sandbox_crds.models import Sandbox


@dataclass(slots=True)
class _Suspension:
    idle: bool
    pod_uid: str
    over: bool = False


class Suspensions:
    """Reports each change once: `on_suspended(name)`, and `on_woken(name)` when anybody resumes an idle sandbox."""

    def __init__(self, listen: Callable[[Callable[[str, Sandbox | None], None]], None]) -> None:
        self.on_suspended: list[Callable[[str], None]] = []
        self.on_woken: list[Callable[[str], None]] = []
        self._suspensions: dict[str, _Suspension] = {}
        listen(self._see)

    def has_left(self, sandbox: Sandbox) -> bool:
        """Whether the pod in the status has ended with a suspension, or with a restart by the spec.

        Until the operator has seen the latest spec, that pod's address must not be used: it may be another's by now.
        Other changes of the spec do not affect the pod, so requests still go there, even while no operator runs.
        """
        status = sandbox.status
        if is_seen(sandbox) or not status.pod_uid:
            return False
        known = self._suspensions.get(sandbox.metadata.name)
        suspended = known is not None and known.pod_uid == status.pod_uid
        return suspended or is_restarted(sandbox)

    def _see(self, name: str, sandbox: Sandbox | None) -> None:
        known = self._suspensions.get(name)
        if sandbox is None:
            self._suspensions.pop(name, None)
        elif sandbox.spec.suspend:
            self._suspensions[name] = _Suspension(is_idle(sandbox), sandbox.status.pod_uid)
            if known is None or known.over:
                for report in self.on_suspended:
                    report(name)
        elif known is not None:
            if not known.over:
                known.over = True
                if known.idle:
                    for report in self.on_woken:
                        report(name)
            if is_seen(sandbox):
                del self._suspensions[name]

"""Pods that are replaced: those that somebody wants replaced, and those that went without being asked."""

from datetime import datetime

from sandbox_crds.kube import KubeObject
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_crds.reasons import Reason
from sandbox_operator import times
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.conditions import READY, said
from sandbox_operator.findings import disrupted_by
from sandbox_operator.pods import Pod
from sandbox_operator.status import may_have_been_suspended, reports
from sandbox_operator.suspension import workspace_sentence

_ENDS = frozenset({Reason.SUSPENDING, Reason.POD_TERMINATING, Reason.POD_FAILED, Reason.EVICTED})
"""Reasons of a sandbox whose pod is known to end. The operator tells one of them before it deletes a pod, unless the
sandbox is suspended."""


def is_outdated(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether `restartedAt` asks for another pod.

    Each value of it makes one new pod, which carries the value, however far the clocks of its writer and of the API
    server are apart.
    """
    wanted = sandbox.spec.restarted_at
    return wanted != pod.restarted_at and times.rfc3339(pod.claimed or pod.created) < wanted


def deletion_event(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod, now: datetime) -> KubeObject | None:
    """That another than the operator deletes this pod; None when that is not so, or has been told."""
    if may_have_been_suspended(sandbox) or (reports(sandbox.status, pod) and _ends(sandbox)):
        return None
    what = f"Pod {pod.name} is deleted, not by the operator. {disrupted_by(pod)}".strip()
    return _event(sandbox, class_, now, pod.uid, what)


def vanishing_event(sandbox: Sandbox, class_: SandboxClass | None, now: datetime) -> KubeObject | None:
    """That the pod which the status speaks of is gone, and was not deleted by the operator; None when it was."""
    status = sandbox.status
    if not status.pod_uid or may_have_been_suspended(sandbox) or _ends(sandbox):
        return None
    condition = status.condition(READY)
    lost = condition and condition.reason == Reason.NODE_LOST
    last = f" {said(condition)}" if condition and lost else ""
    gone = f"Pod {status.pod_name} is gone, and was not deleted by the operator."
    return _event(sandbox, class_, now, status.pod_uid, f"{gone}{last}")


def _ends(sandbox: Sandbox) -> bool:
    condition = sandbox.status.condition(READY)
    return condition is not None and condition.reason in _ENDS


def _event(sandbox: Sandbox, class_: SandboxClass | None, now: datetime, pod_uid: str, what: str) -> KubeObject:
    return build_event(
        sandbox,
        now,
        type_="Warning",
        reason=EventReason.POD_LOST,
        action="ReplacePod",
        note=f"{what} A new one follows. {workspace_sentence(sandbox, class_)}".strip(),
        once=pod_uid,
    )

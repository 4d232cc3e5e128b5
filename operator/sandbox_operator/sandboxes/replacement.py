"""Pods that are replaced: on request, or because others ended or deleted them. Pure."""

from datetime import datetime

from sandbox_common import times
from sandbox_common.kube import KubeObject
from sandbox_common.reasons import Reason
from sandbox_common.remedies import said, with_remedy
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.findings import disrupted_by, ended_by, finished
from sandbox_operator.reporting.status import may_have_been_suspended, reports
from sandbox_operator.reporting.suspension import workspace_kept, workspace_sentence
from sandbox_operator.watching.pods import Pod

_ENDS = frozenset({Reason.SUSPENDING, Reason.POD_TERMINATING, Reason.POD_FAILED, Reason.EVICTED})
"""Reasons of a sandbox whose pod is expected to end. The operator reports one of them before it deletes a pod, unless
the sandbox is suspended."""


def is_outdated(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether `restartedAt` asks for a new pod.

    Each value leads to exactly one new pod, which is annotated with the value. So differences between the clocks of the
    writer and of the API server do no harm.
    """
    wanted = sandbox.spec.restarted_at
    return wanted != pod.restarted_at and times.rfc3339(pod.claimed or pod.created) < wanted


def is_unasked(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether others have deleted this pod, and the status does not report its end yet."""
    return not (may_have_been_suspended(sandbox) or (reports(sandbox.status, pod) and _ends(sandbox)))


def deletion_event(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod, now: datetime) -> KubeObject:
    """The Event that others have deleted this pod."""
    what = f"Pod {pod.name} was deleted, but not by the operator. {disrupted_by(pod)}".strip()
    return _event(sandbox, workspace_kept(sandbox, class_, pod), now, pod.uid, what)


def end_event(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod, now: datetime) -> KubeObject:
    """The Event that this pod has ended, and why."""
    what = f"Pod {pod.name} has ended. {ended_by(pod)}"
    return _event(sandbox, workspace_kept(sandbox, class_, pod), now, pod.uid, what, finished(pod).remedy)


def has_vanished(sandbox: Sandbox) -> bool:
    """Whether the status's pod, if it does not exist, was deleted by others and not for a suspension."""
    suspended = sandbox.spec.suspend or may_have_been_suspended(sandbox)
    return bool(sandbox.status.pod_uid) and not (suspended or _ends(sandbox))


def vanishing_event(sandbox: Sandbox, class_: SandboxClass | None, now: datetime) -> KubeObject | None:
    """The Event that the status's pod is gone; None if the operator deleted it."""
    if not has_vanished(sandbox):
        return None
    status = sandbox.status
    condition = status.condition(READY)
    last = f" {said(status, condition)}" if condition and condition.reason == Reason.NODE_LOST else ""
    gone = f"Pod {status.pod_name} is gone, but was not deleted by the operator."
    return _event(sandbox, workspace_kept(sandbox, class_, None), now, status.pod_uid, f"{gone}{last}")


def _ends(sandbox: Sandbox) -> bool:
    condition = sandbox.status.condition(READY)
    return condition is not None and condition.reason in _ENDS


def _event(sandbox: Sandbox, kept: bool | None, now: datetime, pod_uid: str, what: str, remedy: str = "") -> KubeObject:
    note = f"{what} A new one follows. {workspace_sentence(kept)}".strip()
    return build_event(
        sandbox,
        now,
        type_="Warning",
        reason=EventReason.POD_LOST,
        action="ReplacePod",
        note=with_remedy(note, remedy),
        once=pod_uid,
    )

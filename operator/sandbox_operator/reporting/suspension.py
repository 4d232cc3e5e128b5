"""Suspensions: the patch by which the operator suspends a sandbox, and the messages. Pure."""

from typing import Any, Literal

from sandbox_common.reasons import SUSPENSIONS
from sandbox_common.remedies import said
from sandbox_crds.api import GROUP
from sandbox_crds.models import Condition, Sandbox, SandboxClass
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.watching.pods import Pod

NOTE_ANNOTATION = f"{GROUP}/suspend-note"
"""On a Sandbox that the operator has suspended: the cause, in whole sentences."""

_NOTE_CHARACTERS = 1024
_REQUESTED = "Suspended on request."
_WHY = {
    "": _REQUESTED,
    "Requested": _REQUESTED,
    "Idle": "It was idle for longer than its idle timeout.",
    "StartTimeout": "It was not ready within its start deadline.",
}
_NOTED = frozenset({"Idle", "StartTimeout"})


def suspension_patch(sandbox: Sandbox, reason: Literal["Idle", "StartTimeout"], note: str) -> dict[str, Any]:
    """A merge patch that suspends the sandbox if it has not changed."""
    return {
        "metadata": {
            "resourceVersion": sandbox.metadata.resource_version,
            "annotations": {NOTE_ANNOTATION: note[:_NOTE_CHARACTERS]},
        },
        "spec": {"suspend": True, "suspendReason": reason},
    }


def workspace_kept(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None) -> bool | None:
    """Whether the workspace outlives its pod, or has outlived it; None if there never was one, or if unknown."""
    # The pod counts, even if the class has changed since it was made.
    if pod:
        return pod.keeps_workspace
    status = sandbox.status
    if _suspended(sandbox) or status.workspace_kept is not None:
        return status.workspace_kept
    return class_.spec.workspace.persistent if class_ and status.launch else None


def suspended_message(sandbox: Sandbox, kept: bool | None) -> str:
    """Why a sandbox is suspended and, if it ever had a pod, whether its workspace is kept."""
    condition = _suspended(sandbox)
    if condition is None or kept is not None or not sandbox.status.launch:
        return _joined(_why(sandbox), workspace_sentence(kept))
    # Versions before `status.workspaceKept` said this only in the message.
    is_same = condition.reason == SUSPENSIONS[sandbox.spec.suspend_reason]
    return _joined("" if is_same else _why(sandbox), said(sandbox.status, condition))


def workspace_sentence(kept: bool | None) -> str:
    """A sentence on whether the workspace outlives the pod; "" if unknown."""
    if kept is None:
        return ""
    if kept:
        return "The workspace is kept."
    return "The workspace was not kept, because it was not on a volume."


def _suspended(sandbox: Sandbox) -> Condition | None:
    """The condition, if it reports that the sandbox is suspended and its pod is gone."""
    condition = sandbox.status.condition(READY)
    return condition if condition and condition.reason in SUSPENSIONS.values() else None


def _why(sandbox: Sandbox) -> str:
    reason = sandbox.spec.suspend_reason
    note = sandbox.metadata.annotations.get(NOTE_ANNOTATION) if reason in _NOTED else None
    return note or _WHY[reason]


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)

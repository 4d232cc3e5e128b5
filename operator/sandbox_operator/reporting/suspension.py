"""Suspensions: how the operator asks for one, and what is said about it."""

from typing import Any, Literal

from sandbox_common.reasons import SUSPENSIONS
from sandbox_common.remedies import said
from sandbox_crds.api import GROUP
from sandbox_crds.models import Condition, Sandbox, SandboxClass
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.watching.pods import Pod

NOTE_ANNOTATION = f"{GROUP}/suspend-note"
"""On a Sandbox that the operator has suspended: why, in whole sentences."""

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
    """A merge patch that suspends the sandbox only as long as nobody has changed it."""
    return {
        "metadata": {
            "resourceVersion": sandbox.metadata.resource_version,
            "annotations": {NOTE_ANNOTATION: note[:_NOTE_CHARACTERS]},
        },
        "spec": {"suspend": True, "suspendReason": reason},
    }


def workspace_kept(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None) -> bool | None:
    """Whether a suspended sandbox keeps its workspace; None if it never had one, or nobody knows."""
    # What was so at the time holds, even if the class has been changed since.
    if _suspended(sandbox):
        return sandbox.status.workspace_kept
    has_worked = pod is not None or sandbox.status.launch
    return class_.spec.workspace.persistent if class_ and has_worked else None


def suspended_message(sandbox: Sandbox, kept: bool | None) -> str:
    """Why a suspended sandbox is so and, if it ever had a pod, whether its workspace is kept."""
    told = _suspended(sandbox)
    if told is None or kept is not None or not sandbox.status.launch:
        return _joined(_why(sandbox), workspace_sentence(sandbox, kept))
    # Versions before `status.workspaceKept` said it in words alone.
    is_same = told.reason == SUSPENSIONS[sandbox.spec.suspend_reason]
    return _joined("" if is_same else _why(sandbox), said(sandbox.status, told))


def workspace_sentence(sandbox: Sandbox, kept: bool | None) -> str:
    """Whether the workspace outlives the pod; "" when nobody knows."""
    if kept is None:
        return ""
    if kept:
        return "The workspace is kept."
    return f"The workspace was not kept: the class {sandbox.spec.class_name} has no persistent workspace."


def _suspended(sandbox: Sandbox) -> Condition | None:
    """The condition, if it says that the pod is gone since the sandbox is suspended."""
    told = sandbox.status.condition(READY)
    return told if told and told.reason in SUSPENSIONS.values() else None


def _why(sandbox: Sandbox) -> str:
    reason = sandbox.spec.suspend_reason
    note = sandbox.metadata.annotations.get(NOTE_ANNOTATION) if reason in _NOTED else None
    return note or _WHY[reason]


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)

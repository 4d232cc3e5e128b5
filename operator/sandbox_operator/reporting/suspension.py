"""Suspensions: how the operator asks for one, and what is said about it."""

import re
from typing import Any, Literal

from sandbox_common.reasons import SUSPENSIONS
from sandbox_crds.api import GROUP
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.reporting.conditions import READY, said
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
_WORKSPACE = re.compile(r"The workspace (?:is kept|was not kept: the class \S+ has no persistent workspace)\.")


def suspension_patch(sandbox: Sandbox, reason: Literal["Idle", "StartTimeout"], note: str) -> dict[str, Any]:
    """A merge patch that suspends the sandbox only as long as nobody has changed it."""
    return {
        "metadata": {
            "resourceVersion": sandbox.metadata.resource_version,
            "annotations": {NOTE_ANNOTATION: note[:_NOTE_CHARACTERS]},
        },
        "spec": {"suspend": True, "suspendReason": reason},
    }


def suspended_message(sandbox: Sandbox, class_: SandboxClass | None, pod: Pod | None) -> str:
    """Why a suspended sandbox is so and, if it ever had a pod, whether its workspace is kept."""
    condition, reason = sandbox.status.condition(READY), sandbox.spec.suspend_reason
    if condition is None or condition.reason not in SUSPENSIONS.values():
        has_worked = pod is not None or sandbox.status.launch
        return _joined(_why(sandbox), workspace_sentence(sandbox, class_) if has_worked else "")
    # What was said at the time holds, even if the class has been changed since.
    if condition.reason == SUSPENSIONS[reason]:
        return said(condition)
    workspace = _WORKSPACE.findall(condition.message)
    return _joined(_why(sandbox), workspace[-1] if workspace else "")


def workspace_sentence(sandbox: Sandbox, class_: SandboxClass | None) -> str:
    """Whether the workspace outlives the pod; "" when nobody knows."""
    if class_ is None:
        return ""
    if class_.spec.workspace.persistent:
        return "The workspace is kept."
    return f"The workspace was not kept: the class {sandbox.spec.class_name} has no persistent workspace."


def _why(sandbox: Sandbox) -> str:
    reason = sandbox.spec.suspend_reason
    note = sandbox.metadata.annotations.get(NOTE_ANNOTATION) if reason in _NOTED else None
    return note or _WHY[reason]


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)

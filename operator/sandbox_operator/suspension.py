"""Suspensions: how the operator asks for one, and what is said about it."""

from typing import Any, Literal

from sandbox_crds.api import GROUP
from sandbox_crds.models import Sandbox

NOTE_ANNOTATION = f"{GROUP}/suspend-note"
"""On a Sandbox that the operator has suspended: why, in whole sentences."""


def suspension_patch(sandbox: Sandbox, reason: Literal["Idle", "StartTimeout"], note: str) -> dict[str, Any]:
    """A merge patch that suspends the sandbox only as long as nobody has changed it."""
    return {
        "metadata": {
            "resourceVersion": sandbox.metadata.resource_version,
            "annotations": {NOTE_ANNOTATION: note},
        },
        "spec": {"suspend": True, "suspendReason": reason},
    }

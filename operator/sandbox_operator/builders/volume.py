"""Workspaces that outlive their pod: their volume claim, and what a suspension would lose without one."""

from typing import Any

from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import VOLUME_CLAIMS
from sandbox_crds.api import GROUP
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.owned import owned, volume_claim_of
from sandbox_operator.watching.pods import Pod

ADOPTED_ANNOTATION = f"{GROUP}/adopted"
"""On a volume claim that a sandbox has taken over after a restore: `"true"`. Its age says nothing about the volume."""


def build_volume_claim(sandbox: Sandbox, class_: SandboxClass) -> KubeObject:
    """The sandbox's claim, with the properties that the class gives it."""
    return owned(VOLUME_CLAIMS, sandbox, volume_claim_of(sandbox)) | {"spec": volume_spec(class_)}


def volume_spec(class_: SandboxClass) -> dict[str, Any]:
    """The spec of a claim: size, StorageClass and access mode of the class's volumes."""
    workspace = class_.spec.workspace
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": workspace.size}},
    }
    if workspace.storage_class_name:
        spec["storageClassName"] = workspace.storage_class_name
    return spec


def would_lose_workspace(class_: SandboxClass | None, pod: Pod | None = None) -> bool:
    """Whether a suspension loses /workspace, and the class does not accept this.

    The present pod counts, since the class may have changed since it was made. Without one, the class says what the
    next pod will have.
    """
    workspace = class_.spec.workspace if class_ else None
    keeps = pod.keeps_workspace if pod else workspace is not None and workspace.persistent
    return not (keeps or (workspace is not None and workspace.discard_on_suspension))

"""The volume claim of a workspace that outlives its pod."""

from typing import Any

from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import VOLUME_CLAIMS
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.owned import name_of, owned


def build_volume_claim(sandbox: Sandbox, class_: SandboxClass) -> KubeObject:
    """A claim with the size and StorageClass of the class."""
    workspace = class_.spec.workspace
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": workspace.size}},
    }
    if workspace.storage_class_name:
        spec["storageClassName"] = workspace.storage_class_name
    return owned(VOLUME_CLAIMS, sandbox, name_of(sandbox)) | {"spec": spec}

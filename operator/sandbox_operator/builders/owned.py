"""What all objects of a sandbox have in common."""

from collections.abc import Mapping
from typing import Any

from sandbox_common.kube import KubeObject, Resource
from sandbox_crds.api import API_VERSION, MANAGED_BY_LABEL, MANAGER, SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_crds.names import pod_name


def name_of(sandbox: Sandbox) -> str:
    """Name of the pod, its keys' Secret and its own volume claim."""
    return pod_name(sandbox.metadata.name, sandbox.metadata.uid)


def volume_claim_of(sandbox: Sandbox) -> str:
    """Name of the volume claim: the sandbox's own, or the one of the warm pod in which it first started."""
    return sandbox.status.volume_claim or name_of(sandbox)


def owned(
    resource: Resource,
    sandbox: Sandbox,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> KubeObject:
    """`apiVersion`, `kind` and `metadata` of an object that is deleted with its Sandbox."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": sandbox.metadata.namespace,
        "labels": {**(labels or {}), **own_labels(sandbox)},
        "ownerReferences": [owner_reference(sandbox)],
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def own_labels(sandbox: Sandbox) -> dict[str, str]:
    """The labels that all objects of this sandbox have."""
    return {SANDBOX_LABEL: sandbox.metadata.name, MANAGED_BY_LABEL: MANAGER}


def owner_reference(sandbox: Sandbox) -> dict[str, Any]:
    """The reference that makes the garbage collector delete an object with this Sandbox."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Sandbox",
        "name": sandbox.metadata.name,
        "uid": sandbox.metadata.uid,
        "controller": True,
    }

"""The patches by which a sandbox claims a warm pod and takes over its volume. Pure.

The API server lets only one claim of a pod succeed, and the volume follows its pod. Until then the pod owns the
volume's claim, so a warm pod that is deleted takes its volume along.
"""

from datetime import datetime
from typing import Any

from sandbox_common import times
from sandbox_common.kube.resources import PODS
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.eviction import eviction_annotation
from sandbox_operator.builders.owned import own_labels, owner_reference
from sandbox_operator.watching.pods import CLAIMED_ANNOTATION, RESTARTED_ANNOTATION, Pod

_NOT_DELETED = {"op": "test", "path": "/metadata/deletionTimestamp", "value": None}


def is_first_start(sandbox: Sandbox) -> bool:
    """Whether the sandbox never had a pod, a key or a volume. A warm pod brings its own key and volume.

    A status may have `launch` without a key, if an operator died during the start.
    """
    status = sandbox.status
    return not (status.key_id or status.pod_uid or status.volume_claim or status.launch)


def claim_patch(pod: Pod, sandbox: Sandbox, class_: SandboxClass, now: datetime) -> list[dict[str, Any]]:
    """A JSON patch (RFC 6902) that takes effect only while the pod is free and not being deleted.

    A claimed pod never becomes free again: nothing else writes the label that the patch tests.
    """
    label = _path("labels", SANDBOX_LABEL)
    annotations = {CLAIMED_ANNOTATION: times.rfc3339(now), **eviction_annotation(class_, free=False)}
    if sandbox.spec.restarted_at:
        annotations[RESTARTED_ANNOTATION] = sandbox.spec.restarted_at
    return [
        {"op": "test", "path": "/metadata/uid", "value": pod.uid},
        {"op": "test", "path": label, "value": ""},
        _NOT_DELETED,
        {"op": "replace", "path": label, "value": sandbox.metadata.name},
        {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner_reference(sandbox)]},
        *({"op": "add", "path": _path("annotations", name), "value": value} for name, value in annotations.items()),
    ]


def brings_volume(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether the pod was claimed with a volume that the sandbox's status does not name."""
    return pod.claimed is not None and pod.volume_claim not in {"", sandbox.status.volume_claim}


def volume_patch(pod: Pod, sandbox: Sandbox) -> list[dict[str, Any]]:
    """A JSON patch of the pod's volume claim that takes effect only while this pod owns it and it is not being deleted.

    No other claim has this owner: the operator makes it once, after the pod.
    """
    return [
        _test_owner(pod.uid),
        _NOT_DELETED,
        {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner_reference(sandbox)]},
        {"op": "replace", "path": "/metadata/labels", "value": own_labels(sandbox)},
    ]


def return_patch(pod: Pod, sandbox: Sandbox) -> list[dict[str, Any]]:
    """The reverse, for a pod that the sandbox does not keep: the volume is deleted with the pod again."""
    return [
        _test_owner(sandbox.metadata.uid),
        {"op": "replace", "path": "/metadata/ownerReferences", "value": [pod_reference(pod)]},
    ]


def pod_reference(pod: Pod) -> dict[str, Any]:
    """The reference that makes the garbage collector delete an object with this pod."""
    return {
        "apiVersion": PODS.api_version,
        "kind": PODS.kind,
        "name": pod.name,
        "uid": pod.uid,
        "controller": True,
    }


def _test_owner(uid: str) -> dict[str, Any]:
    return {"op": "test", "path": "/metadata/ownerReferences/0/uid", "value": uid}


def _path(kind: str, name: str) -> str:
    """JSON pointer (RFC 6901) to a label or an annotation."""
    return f"/metadata/{kind}/{name.replace('~', '~0').replace('/', '~1')}"

"""The patch by which a sandbox claims a warm pod. The API server lets only one claim of a pod succeed. Pure."""

from datetime import datetime
from typing import Any

from sandbox_common import times
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.eviction import eviction_annotation
from sandbox_operator.builders.owned import owner_reference
from sandbox_operator.watching.pods import CLAIMED_ANNOTATION, RESTARTED_ANNOTATION, Pod


def is_first_start(sandbox: Sandbox) -> bool:
    """Whether no key of the sandbox was reported and it never had a pod. A warm pod comes with its own key."""
    return not sandbox.status.key_id and not sandbox.status.pod_uid


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
        {"op": "test", "path": "/metadata/deletionTimestamp", "value": None},
        {"op": "replace", "path": label, "value": sandbox.metadata.name},
        {"op": "replace", "path": "/metadata/ownerReferences", "value": [owner_reference(sandbox)]},
        *({"op": "add", "path": _path("annotations", name), "value": value} for name, value in annotations.items()),
    ]


def _path(kind: str, name: str) -> str:
    """JSON pointer (RFC 6901) to a label or an annotation."""
    return f"/metadata/{kind}/{name.replace('~', '~0').replace('/', '~1')}"

"""The claim of a warm pod by a sandbox: pure. It holds however many operators try, since the API server tests it."""

from datetime import datetime
from typing import Any

from sandbox_common import times
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.eviction import eviction_annotation
from sandbox_operator.builders.owned import owner_reference
from sandbox_operator.watching.pods import CLAIMED_ANNOTATION, RESTARTED_ANNOTATION, Pod


def is_first_start(sandbox: Sandbox) -> bool:
    """Whether the sandbox has neither a key that was told nor had a pod: a warm pod brings a key of its own."""
    return not sandbox.status.key_id and not sandbox.status.pod_uid


def claim(pod: Pod, sandbox: Sandbox, class_: SandboxClass, now: datetime) -> list[dict[str, Any]]:
    """A JSON patch (RFC 6902) of a free pod: it takes effect only as long as the pod is free and nobody ends it.

    A pod never becomes free again: nothing else writes the label that is tested.
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

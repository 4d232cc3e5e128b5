"""Builds Kubernetes Events about a Sandbox, for operator and gateway. Pure."""

from datetime import datetime
from typing import Literal

from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import EVENTS
from sandbox_common.times import rfc3339_micro
from sandbox_crds.api import API_VERSION, GROUP
from sandbox_crds.models import Sandbox

_NOTE_BYTES = 1024
"""The API server refuses a longer one (Kubernetes 1.36, pkg/apis/core/validation/events.go)."""


def build_event(
    sandbox: Sandbox,
    now: datetime,
    *,
    by: str,
    type_: Literal["Normal", "Warning"],
    reason: str,
    action: str,
    note: str,
    once: str = "",
) -> KubeObject:
    """An Event as `kubectl describe` shows it. `action` is what `by` did or tried, in UpperCamelCase.

    `once`, in lower case, identifies the occurrence: an Event with the same reason and `once` cannot be posted again.
    """
    metadata = sandbox.metadata
    controller = f"{GROUP}/{by}"
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            # Like client-go's names of Events: unique because of the time in hexadecimal digits.
            "name": f"{metadata.name}.{reason.lower()}.{once or f'{int(now.timestamp() * 1e6):x}'}",
            "namespace": metadata.namespace,
        },
        "eventTime": rfc3339_micro(now),
        "reportingController": controller,
        "reportingInstance": controller,
        "type": type_,
        "reason": reason,
        "action": action,
        "note": note.encode()[:_NOTE_BYTES].decode(errors="ignore"),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "Sandbox",
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        },
    }

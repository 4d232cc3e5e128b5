"""Kubernetes Events about a Sandbox."""

from datetime import datetime
from typing import Literal

from sandbox_crds.api import API_VERSION, GROUP
from sandbox_crds.kube import KubeObject
from sandbox_crds.kube.resources import EVENTS
from sandbox_crds.models import Sandbox
from sandbox_operator import times

_CONTROLLER = f"{GROUP}/operator"


def build_event(
    sandbox: Sandbox,
    now: datetime,
    *,
    type_: Literal["Normal", "Warning"],
    reason: str,
    action: str,
    note: str,
) -> KubeObject:
    """An event as `kubectl describe` shows it; `action` is what was done or tried, in UpperCamelCase."""
    metadata = sandbox.metadata
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            # As client-go names events: unique by the time in hexadecimal digits.
            "name": f"{metadata.name}.{int(now.timestamp() * 1e6):x}",
            "namespace": metadata.namespace,
        },
        "eventTime": times.rfc3339_micro(now),
        "reportingController": _CONTROLLER,
        "reportingInstance": _CONTROLLER,
        "type": type_,
        "reason": reason,
        "action": action,
        "note": note[:1024],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "Sandbox",
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        },
    }

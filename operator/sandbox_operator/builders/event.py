"""Kubernetes Events about a Sandbox."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from sandbox_crds.api import API_VERSION, GROUP
from sandbox_crds.kube import KubeObject
from sandbox_crds.kube.resources import EVENTS
from sandbox_crds.models import Sandbox
from sandbox_operator import times

_CONTROLLER = f"{GROUP}/operator"


class EventReason(StrEnum):
    """Reason of an Event about a Sandbox."""

    RUNTIME_CLASS_DROPPED = "RuntimeClassDropped"
    POD_LOST = "PodLost"
    SUSPENDED_IDLE = "SuspendedIdle"
    START_TIMEOUT = "StartTimeout"
    EXPIRING_SOON = "ExpiringSoon"
    EXPIRED = "Expired"


def build_event(
    sandbox: Sandbox,
    now: datetime,
    *,
    type_: Literal["Normal", "Warning"],
    reason: EventReason,
    action: str,
    note: str,
    once: str = "",
) -> KubeObject:
    """An event as `kubectl describe` shows it; `action` is what was done or tried, in UpperCamelCase.

    `once` names what it tells of, in lower case: an event of the same reason about the same cannot be posted again.
    """
    metadata = sandbox.metadata
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            # As client-go names events: unique by the time in hexadecimal digits.
            "name": f"{metadata.name}.{reason.lower()}.{once or f'{int(now.timestamp() * 1e6):x}'}",
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

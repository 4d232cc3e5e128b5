"""Decodes Kubernetes Events of any source. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox_common import times
from sandbox_common.kube import KubeObject
from sandbox_common.kube.unreadable import malformed


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """The fields of an Event that decisions use. It occurred `count` times, last at `seen`.

    `kind`, `name` and `uid` identify the object that it is about.
    `host` is the node of the kubelet that has reported it.
    """

    reason: str
    note: str
    kind: str
    uid: str
    seen: datetime
    type: str = "Normal"
    name: str = ""
    count: int = 1
    host: str = ""


@malformed("an Event")
def decode(event: KubeObject) -> ClusterEvent:
    """Decode an Event of events.k8s.io/v1. Raises ValueError if it is malformed."""
    regarding: dict[str, Any] = event.get("regarding") or {}
    series: dict[str, Any] = event.get("series") or {}
    # Recorders of the older API leave eventTime empty, and the newer ones the deprecated fields.
    seen = (
        series.get("lastObservedTime")
        or event.get("deprecatedLastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    source: KubeObject = event.get("deprecatedSource") or {}
    return ClusterEvent(
        reason=event.get("reason") or "",
        note=event.get("note") or "",
        kind=regarding.get("kind") or "",
        uid=regarding.get("uid") or "",
        seen=times.parse(seen).astimezone(UTC),
        type=event.get("type") or "Normal",
        name=regarding.get("name") or "",
        count=series.get("count") or event.get("deprecatedCount") or 1,
        host=source.get("host") or event.get("reportingInstance") or "",
    )

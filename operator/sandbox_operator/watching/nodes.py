"""Nodes that are about to go, or are gone, as their objects show. Pure."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox_common.kube import KubeObject
from sandbox_common.kube.unreadable import malformed

_STAYS_AWAY = frozenset({"NoSchedule", "NoExecute"})
"""Effects of taints because of which the scheduler puts no pod on a node."""

_MOST_IMAGES = 200
"""Of a node. Kubelets report 50 by default."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration of a pod. Its duration does not matter, as for the scheduler."""

    key: str = ""
    exists: bool = False
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Whether this toleration matches the taint."""
        if self.effect and self.effect != taint.effect:
            return False
        if not self.key:
            return self.exists
        return self.key == taint.key and (self.exists or self.value == taint.value)


def toleration(part: Mapping[str, Any]) -> Toleration:
    """A toleration of a pod."""
    return Toleration(
        key=part.get("key", ""),
        exists=part.get("operator") == "Exists",
        value=part.get("value", ""),
        effect=part.get("effect", ""),
    )


_CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_NOT_READY = Taint("node.kubernetes.io/not-ready", "", "NoSchedule")
"""Taints that follow from the node's fields. Kubernetes adds the taints themselves a little later."""


@dataclass(frozen=True, slots=True)
class Node:
    """The fields of a node that decisions use. Two states with the same fields are equal, whatever `images` they have.

    `images` are the sizes of those that the node reports, by each of their names.
    """

    name: str
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    ready: bool = True
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    images: Mapping[str, int] = field(default_factory=dict[str, int], compare=False)

    def unfit(self, tolerations: Collection[Toleration]) -> str:
        """Why the scheduler puts no pod with these tolerations here now, in a few words; "" if it does."""
        if self.cordoned and not _tolerated(_CORDONED, tolerations):
            return "is cordoned"
        if not self.ready and not _tolerated(_NOT_READY, tolerations):
            return "is not ready"
        met = (taint for taint in self.taints if taint.effect in _STAYS_AWAY and not _tolerated(taint, tolerations))
        taint = next(met, None)
        return f"has the taint {taint}" if taint else ""


@malformed("a node")
def decode(item: KubeObject) -> Node:
    """Decode a node from the API server. Raises ValueError if it is malformed."""
    spec: dict[str, Any] = item.get("spec") or {}
    status: dict[str, Any] = item.get("status") or {}
    taints: list[dict[str, str]] = spec.get("taints") or []
    conditions: list[dict[str, str]] = status.get("conditions") or []
    images: list[dict[str, Any]] = status.get("images") or []
    return Node(
        name=item["metadata"]["name"],
        taints=tuple(Taint(taint["key"], taint.get("value", ""), taint["effect"]) for taint in taints),
        cordoned=bool(spec.get("unschedulable")),
        # A new node has no condition yet, and no pods.
        ready=all(condition["status"] == "True" for condition in conditions if condition["type"] == "Ready"),
        labels=item["metadata"].get("labels") or {},
        images={
            sys.intern(name): image.get("sizeBytes", 0)
            for image in images[:_MOST_IMAGES]
            for name in image.get("names") or ()
        },
    )


def _tolerated(taint: Taint, tolerations: Collection[Toleration]) -> bool:
    return any(toleration.tolerates(taint) for toleration in tolerations)

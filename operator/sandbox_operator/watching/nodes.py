"""Which nodes are about to go, or have gone: pure, from what their objects say."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sandbox_common.kube import KubeObject

_STAYS_AWAY = frozenset({"NoSchedule", "NoExecute"})
"""Effects for which the scheduler puts no pod on a node."""


@dataclass(frozen=True, slots=True)
class Taint:
    """One taint of a node."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}{f'={self.value}' if self.value else ''}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """One toleration of a pod. For how long it holds does not matter: the scheduler does not ask that either."""

    key: str = ""
    exists: bool = False
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Whether a pod with this toleration may go where this taint is."""
        if self.effect and self.effect != taint.effect:
            return False
        if not self.key:
            return self.exists
        return self.key == taint.key and (self.exists or self.value == taint.value)


_CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_NOT_READY = Taint("node.kubernetes.io/not-ready", "", "NoSchedule")
"""What the node's fields mean to the scheduler; Kubernetes adds the taints themselves a little later."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node, reduced. Two states are equal when nothing has changed that decisions are made of."""

    name: str
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    ready: bool = True

    def unfit(self, tolerations: Collection[Toleration]) -> str:
        """Why no pod with these tolerations would be put here now, in a few words; "" when one would."""
        if self.cordoned and not _tolerated(_CORDONED, tolerations):
            return "is cordoned"
        if not self.ready and not _tolerated(_NOT_READY, tolerations):
            return "is not ready"
        met = (taint for taint in self.taints if taint.effect in _STAYS_AWAY and not _tolerated(taint, tolerations))
        taint = next(met, None)
        return f"has the taint {taint}" if taint else ""


def decode(item: KubeObject) -> Node:
    """A node of the API server. Raises ValueError when it has not the form of one."""
    try:
        spec: dict[str, Any] = item.get("spec") or {}
        status: dict[str, Any] = item.get("status") or {}
        taints: list[dict[str, str]] = spec.get("taints") or []
        conditions: list[dict[str, str]] = status.get("conditions") or []
        return Node(
            name=item["metadata"]["name"],
            taints=tuple(Taint(taint["key"], taint.get("value", ""), taint["effect"]) for taint in taints),
            cordoned=bool(spec.get("unschedulable")),
            # A new node has no condition yet, and no pods.
            ready=all(condition["status"] == "True" for condition in conditions if condition["type"] == "Ready"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a node: {error!r}") from error


def _tolerated(taint: Taint, tolerations: Collection[Toleration]) -> bool:
    return any(toleration.tolerates(taint) for toleration in tolerations)

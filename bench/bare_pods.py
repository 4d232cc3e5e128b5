"""The ceiling: pods that a client creates directly, without our controllers."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from bench.load import followed
from control_plane.waiting import eventually
from sandbox_common.kube import Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS

LABEL = "bench.example/bare"
_GONE_SECONDS = 120.0
_SECURITY = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
_CAPABILITIES = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

SMALL: KubeObject = {
    "automountServiceAccountToken": False,
    "terminationGracePeriodSeconds": 1,
    "securityContext": _SECURITY,
    "containers": [{"name": "main", "image": "registry.example/small:1", "securityContext": _CAPABILITIES}],
}
"""Spec of a minimal pod that Pod Security `restricted` admits."""


def is_ready(item: KubeObject) -> bool:
    """Whether its condition Ready is true: of pods, and of Sandboxes likewise."""
    status: dict[str, Any] = item.get("status") or {}
    conditions: list[dict[str, str]] = status.get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


class BarePods:
    """Pods with this spec. Nothing keeps warm ones, so `claim` and `fill` are refused."""

    at_once = 32

    def __init__(self, client: KubeClient, namespace: str, title: str, spec: KubeObject) -> None:
        self.title = title
        self._client = client
        self._namespace = namespace
        self._spec = spec

    def body(self, name: str) -> KubeObject:
        """What is sent."""
        metadata: dict[str, Any] = {"name": name, "labels": {LABEL: "true"}}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self._spec}

    async def create(self, name: str) -> None:
        """One write."""
        await self._client.create(PODS, self._namespace, self.body(name))

    async def claim(self, name: str) -> None:
        """Raises NotImplementedError."""
        raise NotImplementedError

    async def fill(self, size: int) -> None:
        """Raises NotImplementedError."""
        raise NotImplementedError

    async def warm(self, names: Iterable[str]) -> int:
        """None of them."""
        return 0

    def watch_ready(self, report: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """By the condition Ready of the pods."""

        def changed(name: str, ready: bool | None) -> None:
            if ready:
                report(name)

        pods = Informer(self._client, PODS, self._namespace, is_ready, label_selector=LABEL, on_change=changed)
        return followed(pods)

    async def delete(self, name: str) -> None:
        """At once, without a grace period."""
        await self._client.delete(PODS, self._namespace, name, grace_seconds=0)

    async def gone(self) -> None:
        """Until no bare pod is listed."""
        await eventually(self._none, _GONE_SECONDS)

    async def _none(self) -> bool:
        return not (await self._client.list(PODS, self._namespace, labelSelector=LABEL, limit="1"))["items"]

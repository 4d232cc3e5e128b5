"""The test plays scheduler and kubelet: it binds pods, reports their state and ends those that were deleted."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS
from sandbox_common.times import rfc3339
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.names import CONTAINER

NODE = "node-1"
POD_IP = "127.0.0.7"
"""On loopback, since the operator calls pods that are ready; nobody listens there unless a test does."""


class Kubelet:
    """One node for the pods of one namespace."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def bind(self, pod: str, node: str = NODE) -> None:
        """Schedule the pod."""
        body = {"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}
        await self._client.create(Resource("", "v1", f"pods/{pod}/binding", "Binding"), self._namespace, body)

    async def report(
        self,
        pod: str,
        *,
        ready: bool = False,
        state: dict[str, Any] | None = None,
        last: dict[str, Any] | None = None,
        restarts: int = 0,
        phase: str = "Running",
        name: str = CONTAINER,
        **status: Any,
    ) -> None:
        """Write the pod's status. `state` and `last` are those of the container of this name."""
        now = rfc3339(datetime.now(UTC))
        container: dict[str, Any] = {
            "name": name,
            "image": "image",
            "imageID": "",
            "ready": ready,
            "started": ready,
            "restartCount": restarts,
            "state": state or {"running": {"startedAt": now}},
            "lastState": last or {},
        }
        body: dict[str, Any] = {
            "phase": phase,
            "podIP": POD_IP,
            "podIPs": [{"ip": POD_IP}],
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": now},
                {"type": "Ready", "status": str(ready), "lastTransitionTime": now},
            ],
            "containerStatuses": [container],
            **status,
        }
        await self._client.patch(PODS, self._namespace, pod, {"status": body}, subresource="status")

    async def say(self, pod: KubeObject, reason: str, message: str, seen: datetime) -> None:
        """Post an Event about the pod, as kubelets do."""
        name, uid, time = pod["metadata"]["name"], pod["metadata"]["uid"], rfc3339(seen)
        body = {
            "metadata": {"name": f"{name}.{reason.lower()}.{seen.timestamp():.0f}", "namespace": self._namespace},
            "involvedObject": {"kind": "Pod", "namespace": self._namespace, "name": name, "uid": uid},
            "reason": reason,
            "message": message,
            "type": "Normal",
            "source": {"component": "kubelet", "host": NODE},
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        await self._client.create(Resource("", "v1", "events", "Event"), self._namespace, body)

    async def run(self, pod: str) -> None:
        """Schedule the pod; the agent server answers at once."""
        await self.bind(pod)
        await self.report(pod, ready=True)

    async def end(self, pod: str) -> None:
        """Say that the pod's containers have ended: a deleted pod goes."""
        await self._client.delete(PODS, self._namespace, pod, grace_seconds=0)

    async def pods(self) -> list[KubeObject]:
        """All sandboxes' pods."""
        return (await self._client.list(PODS, self._namespace, labelSelector=SANDBOX_LABEL))["items"]

    @contextlib.asynccontextmanager
    async def running_all(self) -> AsyncGenerator[None]:
        """Meanwhile each new pod is run at once, and each deleted one ends at once."""
        task = asyncio.create_task(self._run_all())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run_all(self) -> None:
        while True:
            for pod in await self.pods():
                name = pod["metadata"]["name"]
                # A pod may go between two requests.
                with contextlib.suppress(ApiError):
                    if "deletionTimestamp" in pod["metadata"]:
                        await self.end(name)
                    elif "nodeName" not in pod["spec"]:
                        await self.run(name)
            await asyncio.sleep(0.02)

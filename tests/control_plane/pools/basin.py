"""SandboxPools in a test's namespace, and a node that runs their pods, or does not."""

import contextlib
from datetime import UTC, datetime
from typing import Any

from control_plane.operator.kubelet import Kubelet
from control_plane.operator.world import IMAGE, World
from control_plane.waiting import eventually
from sandbox_common.kube import ApiError, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOX_CLASSES, SANDBOX_POOLS, SECRETS, VOLUME_CLAIMS
from sandbox_common.reasons import PoolReason
from sandbox_common.times import rfc3339
from sandbox_crds.api import POOL_LABEL, SANDBOX_LABEL
from sandbox_crds.models import SandboxPool
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.watching.pods import CLAIMED_ANNOTATION, decode

BAD_IMAGE = "registry.example/no-such-image:1"
NO_STORAGE = "no-such-storage"
"""A StorageClass that does not exist."""

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")


class Basin(World):
    """One namespace with pools; `name` is that of the test's own pool."""

    async def add_pool(self, name: str = "", **spec: Any) -> SandboxPool:
        """Create a SandboxPool. Raises ApiError."""
        body = {"apiVersion": SANDBOX_POOLS.api_version, "kind": "SandboxPool", "metadata": {"name": name or self.name}}
        body["spec"] = {"image": IMAGE, **spec}
        return SandboxPool.model_validate(await self.client.create(SANDBOX_POOLS, self.namespace, body))

    async def edit_pool(self, **spec: Any) -> None:
        """Change the spec of the test's own pool."""
        await self.client.patch(SANDBOX_POOLS, self.namespace, self.name, {"spec": spec})

    async def edit_class(self, name: str, **spec: Any) -> None:
        """Change a SandboxClass."""
        await self.client.patch(SANDBOX_CLASSES, self.namespace, name, {"spec": spec})

    async def pool(self, name: str = "") -> SandboxPool:
        """The pool as it is. Raises ApiError."""
        return SandboxPool.model_validate(await self.client.get(SANDBOX_POOLS, self.namespace, name or self.name))

    async def told(self, reason: PoolReason, name: str = "", **status: Any) -> SandboxPool:
        """The pool once its condition has this reason, of its present spec, and its status these fields."""

        async def look() -> SandboxPool | None:
            pool = await self.pool(name)
            condition = pool.status.condition(READY)
            current = pool.status.observed_generation == pool.metadata.generation
            same = all(getattr(pool.status, field) == value for field, value in status.items())
            return pool if condition and condition.reason == reason and current and same else None

        try:
            return await eventually(look)
        except TimeoutError:
            raise AssertionError(f"no {reason} {status} but {(await self.pool(name)).status}") from None

    async def pods(self, name: str = "") -> list[KubeObject]:
        """All pods of the pool that nobody has deleted, claimed or not."""
        answer = await self.client.list(PODS, self.namespace, labelSelector=f"{POOL_LABEL}={name or self.name}")
        return [pod for pod in answer["items"] if "deletionTimestamp" not in pod["metadata"]]

    async def free(self, name: str = "") -> list[KubeObject]:
        """Those of them that nobody has claimed."""
        return [pod for pod in await self.pods(name) if not pod["metadata"]["labels"][SANDBOX_LABEL]]

    async def secrets(self, name: str = "") -> list[KubeObject]:
        """The Secrets of the pool's pods."""
        answer = await self.client.list(SECRETS, self.namespace, labelSelector=f"{POOL_LABEL}={name or self.name}")
        return answer["items"]

    async def volumes(self, name: str = "") -> set[str]:
        """Names of the volume claims that only the pool's pods have."""
        answer = await self.client.list(
            VOLUME_CLAIMS, self.namespace, labelSelector=f"{POOL_LABEL}={name or self.name}"
        )
        return {item["metadata"]["name"] for item in answer["items"]}

    async def claim(self, pod: KubeObject) -> None:
        """Claim a pod as an operator does, for somebody whom no operator knows."""
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"owner-of-{pod['metadata']['name']}"}}
        made = await self.client.create(CONFIG_MAPS, self.namespace, owner)
        metadata = made["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"]}
        label = f"/metadata/labels/{SANDBOX_LABEL.replace('/', '~1')}"
        annotation = f"/metadata/annotations/{CLAIMED_ANNOTATION.replace('/', '~1')}"
        await self.client.json_patch(
            PODS,
            self.namespace,
            pod["metadata"]["name"],
            [
                {"op": "test", "path": label, "value": ""},
                {"op": "replace", "path": label, "value": "somebody"},
                {"op": "replace", "path": "/metadata/ownerReferences", "value": [reference | {"controller": True}]},
                {"op": "add", "path": annotation, "value": rfc3339(datetime.now(UTC))},
            ],
        )


class Node(Kubelet):
    """Runs pods that have their Secret and their volume claim; cannot pull BAD_IMAGE, and has room for `room` pods.

    It plays the binder of volumes, too: it runs no pod with a volume of NO_STORAGE.
    """

    def __init__(self, client: KubeClient, namespace: str, room: int = 1000) -> None:
        super().__init__(client, namespace)
        self.room = room

    async def run(self, pod: str) -> None:
        """Do with the pod what can be done."""
        found = await self._client.get(PODS, self._namespace, pod)
        if sum("nodeName" in other["spec"] for other in await self.pods()) >= self.room:
            await self._refuse(pod)
            return
        await self._client.get(SECRETS, self._namespace, pod)
        if claim := decode(found).volume_claim:
            volume = await self._client.get(VOLUME_CLAIMS, self._namespace, claim)
            if volume["spec"].get("storageClassName") == NO_STORAGE:
                return
        await self.bind(pod)
        if found["spec"]["containers"][0]["image"] == BAD_IMAGE:
            why = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{BAD_IMAGE}": not found'}
            await self.report(pod, phase="Pending", state={"waiting": why})
        else:
            await self.report(pod, ready=True)

    async def _refuse(self, pod: str) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Too many pods.",
            "lastTransitionTime": rfc3339(datetime.now(UTC)),
        }
        with contextlib.suppress(ApiError):
            body = {"status": {"conditions": [condition]}}
            await self._client.patch(PODS, self._namespace, pod, body, subresource="status")

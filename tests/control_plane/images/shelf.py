"""Two nodes that keep images, a list of images, and the kubelets that the test plays."""

import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.operator.kubelet import Kubelet
from control_plane.operator.world import World
from control_plane.waiting import eventually
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import NODES, PODS, SANDBOX_IMAGES
from sandbox_common.reasons import ImagesReason
from sandbox_common.times import rfc3339
from sandbox_crds.api import IMAGES_LABEL
from sandbox_crds.models import SandboxImages
from sandbox_operator.images.keepers import CONTAINER

TEN = [f"registry.example/task:{number}" for number in range(10)]
MISSING = "registry.example/missing:1"
SIZE = 100_000_000
NODE_NAMES = ("one", "two")
IMAGE_VOLUMES = pytest.mark.kubernetes(since="1.35")
"""Pods keep images by image volumes."""


class Kubelets(Kubelet):
    """Pull images one by one, and report them; all images have the same size."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        super().__init__(client, namespace)
        self.most_pulling = 0
        self.pulled: dict[str, list[str]] = {name: [] for name in NODE_NAMES}

    async def pods(self) -> list[KubeObject]:
        """Those that keep images."""
        return (await self._client.list(PODS, self._namespace, labelSelector=IMAGES_LABEL))["items"]

    async def run(self, pod: str) -> None:
        """Pull what it mounts."""
        pods = await self.pods()
        under_way: dict[str, int] = {}
        for each in pods:
            is_pulling = "containerStatuses" not in each["status"]
            under_way[node_of(each)] = under_way.get(node_of(each), 0) + is_pulling
        self.most_pulling = max(self.most_pulling, *under_way.values())
        found = next(each for each in pods if each["metadata"]["name"] == pod)
        node, images = node_of(found), images_of(found)
        await self.bind(pod, node)
        if MISSING in images:
            message = f'failed to resolve reference "{MISSING}": {MISSING}: not found'
            waiting = {"reason": "ErrImagePull", "message": message}
            await self.report(pod, name=CONTAINER, phase="Pending", state={"waiting": waiting})
            return
        self.pulled[node] += images
        reported = [{"names": [image], "sizeBytes": SIZE} for image in self.pulled[node]]
        await self._client.patch(NODES, "", node, {"status": {"images": reported}}, subresource="status")
        await self.report(pod, name=CONTAINER, ready=True)


def node_of(pod: KubeObject) -> str:
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]


def images_of(pod: KubeObject) -> list[str]:
    return [volume["image"]["reference"] for volume in pod["spec"]["volumes"] if "image" in volume]


class Shelf(World):
    """One namespace, and the test's own list."""

    async def list(self, **spec: Any) -> None:
        """Create the SandboxImages. Raises ApiError."""
        body = {"apiVersion": SANDBOX_IMAGES.api_version, "kind": "SandboxImages", "metadata": {"name": self.name}}
        await self.client.create(SANDBOX_IMAGES, self.namespace, body | {"spec": spec})

    async def reports(self, reason: ImagesReason, **status: Any) -> SandboxImages:
        """The list once its condition has this reason, and its status these fields."""

        async def look() -> SandboxImages | None:
            item = SandboxImages.model_validate(await self.client.get(SANDBOX_IMAGES, self.namespace, self.name))
            condition = item.status.condition("Ready")
            same = all(getattr(item.status, name) == value for name, value in status.items())
            current = item.status.observed_generation == item.metadata.generation
            return item if condition and condition.reason == reason and same and current else None

        try:
            return await eventually(look)
        except TimeoutError:
            found = await self.client.get(SANDBOX_IMAGES, self.namespace, self.name)
            raise AssertionError(f"no {reason} {status} but {found.get('status')}") from None

    async def kept(self, node: str) -> set[str]:
        """The images that pods hold on this node."""
        pods = (await self.client.list(PODS, self.namespace, labelSelector=IMAGES_LABEL))["items"]
        live = [pod for pod in pods if node_of(pod) == node and "deletionTimestamp" not in pod["metadata"]]
        return {image for pod in live for image in images_of(pod)}


@asynccontextmanager
async def two_nodes(client: KubeClient) -> AsyncGenerator[None]:
    """Meanwhile there are nodes of these names."""
    for name in NODE_NAMES:
        await client.create(NODES, "", {"metadata": {"name": name, "labels": {"disk": name}}})
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": rfc3339(datetime.now(UTC))}
        await client.patch(NODES, "", name, {"spec": {"taints": None}})
        await client.patch(NODES, "", name, {"status": {"conditions": [ready]}}, subresource="status")
    try:
        yield
    finally:
        for name in NODE_NAMES:
            with contextlib.suppress(ApiError):
                await client.delete(NODES, "", name)

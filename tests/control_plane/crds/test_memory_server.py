"""The API server in memory, on which schedules of faults are played, answers as the real one does."""

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

import orjson

from control_plane.operator.kubelet import Kubelet
from control_plane.operator.world import IMAGE
from control_plane.waiting import eventually
from sandbox_common import times
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS, VOLUME_CLAIMS, Resource
from schedules.api_server import NAMESPACE, ApiServer
from schedules.cluster import Cluster
from schedules.session import Weather, client_of

SANDBOX: KubeObject = {"apiVersion": SANDBOXES.api_version, "kind": "Sandbox", "metadata": {"name": "one"}}
_RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD: KubeObject = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one", "labels": {"of": "", "is": "here"}},
    "spec": {
        "containers": [{"name": "c", "image": IMAGE, "securityContext": _RESTRICTED}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "one"}}],
    },
}
CLAIM: KubeObject = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "one"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


class Story:
    """Asks one API server, and notes its answers, without what each server chooses itself."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.told: list[Any] = []

    async def ask(self, asked: Awaitable[KubeObject | None], *fields: str) -> KubeObject:
        """Await an answer, and note these fields of it, such as `spec.suspend`."""
        try:
            answer = await asked or {}
        except ApiError as error:
            self.told.append((error.code, error.reason))
            return {}
        self.told.append([_field(answer, field) for field in fields])
        return answer

    async def look(self, resource: Resource) -> None:
        """Note which objects there are, and which of them end."""
        items = (await self.client.list(resource, self.namespace))["items"]
        ours = [item["metadata"] for item in items if item["metadata"]["name"] == "one"]
        self.told.append(["deletionTimestamp" in metadata for metadata in ours])

    async def gone(self, resource: Resource) -> None:
        """Wait for the end of an object."""

        async def look() -> bool:
            return await self.client.find(resource, self.namespace, "one") is None

        await eventually(look)


def _field(item: KubeObject, path: str) -> Any:
    found: Any = item
    for part in path.split("."):
        found = found.get(part) if found else None
    return found


async def tell(client: KubeClient, namespace: str, kubelet: Kubelet | None, server: ApiServer | None) -> list[Any]:
    """The story."""
    story = Story(client, namespace)
    body = SANDBOX | {"spec": {"image": IMAGE}, "status": {"podName": "x"}}
    made = await story.ask(client.create(SANDBOXES, namespace, body), "metadata.generation", "status.podName")
    version = made["metadata"]["resourceVersion"]
    await story.ask(client.create(SANDBOXES, namespace, body))
    await story.ask(client.get(SANDBOXES, namespace, "two"))
    await story.ask(client.patch(SANDBOXES, namespace, "two", {"spec": {"suspend": True}}))
    suspend = {"spec": {"suspend": True}, "status": {"podName": "y"}}
    fields = ("metadata.generation", "spec.suspend", "status.podName")
    changed = await story.ask(client.patch(SANDBOXES, namespace, "one", suspend), *fields)
    same = await story.ask(client.patch(SANDBOXES, namespace, "one", suspend), *fields)
    story.told.append(changed["metadata"]["resourceVersion"] == same["metadata"]["resourceVersion"])
    stale = {"metadata": {"resourceVersion": version}, "spec": {"suspend": False}}
    await story.ask(client.patch(SANDBOXES, namespace, "one", stale))
    status = {"spec": {"suspend": False}, "status": {"podName": "z"}}
    await story.ask(client.patch(SANDBOXES, namespace, "one", status, subresource="status"), *fields)
    owner = {"apiVersion": SANDBOXES.api_version, "kind": "Sandbox", "name": "one", "uid": made["metadata"]["uid"]}
    secret = {"metadata": {"name": "one", "ownerReferences": [owner]}, "data": {}}
    await story.ask(client.create(SECRETS, namespace, secret), "metadata.name")
    await story.ask(client.delete(SANDBOXES, namespace, "one", uid="another"))
    await story.ask(client.delete(SANDBOXES, namespace, "one", resource_version=version))

    began = (await client.list(PODS, namespace))["metadata"]["resourceVersion"]
    await story.ask(client.create(VOLUME_CLAIMS, namespace, CLAIM), "metadata.name")
    await story.ask(client.create(PODS, namespace, POD), "metadata.labels", "status.phase")
    test, set_ = ({"op": op, "path": "/metadata/labels/of", "value": "me"} for op in ("test", "replace"))
    await story.ask(client.json_patch(PODS, namespace, "one", [test, set_]))
    await story.ask(client.json_patch(PODS, namespace, "one", [set_]), "metadata.labels")
    await story.ask(client.json_patch(PODS, namespace, "one", [test]), "metadata.labels")
    if kubelet:
        await kubelet.bind("one")
    if server:
        server.patch("pods", "one", {"spec": {"nodeName": "node-1"}})
    await story.ask(client.delete(VOLUME_CLAIMS, namespace, "one"))
    await story.look(VOLUME_CLAIMS)
    await story.ask(client.delete(PODS, namespace, "one"))
    await story.look(PODS)
    await story.ask(client.delete(PODS, namespace, "one"))
    await story.ask(client.delete(PODS, namespace, "one", grace_seconds=0))
    await story.gone(VOLUME_CLAIMS)
    # A pod without a node ends at once.
    await story.ask(client.create(PODS, namespace, POD), "status.phase")
    await story.ask(client.delete(PODS, namespace, "one"))
    await story.look(PODS)
    story.told.append(await events(client, namespace, began))
    await story.ask(client.delete(SANDBOXES, namespace, "one"))
    await story.gone(SECRETS)
    return story.told


async def events(client: KubeClient, namespace: str, since: str) -> list[str]:
    """What a watch tells of the pods that nobody has, which the first pod is no more once its label changes."""
    told: list[str] = []
    query = {"labelSelector": "of=,is", "resourceVersion": since}
    async with client.watch(PODS, namespace, **query) as lines, asyncio.timeout(30):
        while len(told) < 5:
            told.append(orjson.loads(await lines.readline())["type"])
    return told


async def test_it_answers_as_the_real_one(client: KubeClient, namespace: str) -> None:
    real = await tell(client, namespace, Kubelet(client, namespace), None)
    server = ApiServer(times.utc_now)
    draw = random.Random(0)
    cluster = Cluster(server, draw, times.utc_now, runs_pods=False)
    in_memory = await tell(client_of(server, Weather(draw)), NAMESPACE, None, server)
    cluster.end()
    assert in_memory == real

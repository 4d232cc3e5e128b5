"""Sandboxes under load: asked of the API server as custom resources, and of the gateway by /start."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp

from bench.bare_pods import is_ready
from bench.load import followed
from bench.plane import OWNER, Plane
from control_plane.naming import runtime_id
from control_plane.waiting import eventually
from sandbox_common.kube import ApiError, Informer, KubeObject
from sandbox_common.kube.resources import PODS, SANDBOX_POOLS, SANDBOXES
from sandbox_crds.api import POOL_LABEL, SANDBOX_LABEL
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.builders import sandbox_body

POOL = "bench"
COLD_IMAGE = "registry.example/openhands/agent-server:1.58.2-python"
WARM_IMAGE = "registry.example/openhands/agent-server:1.58.2-warm"
"""The pool has this one, so nothing else differs between a claim and a cold start."""
_FILL_SECONDS = 120.0
_GONE_SECONDS = 120.0


def start_body(plane: Plane, image: str, session_id: str) -> dict[str, Any]:
    """The body of /start as the SDK sends it (openhands_workspace 1.58.2, APIRemoteWorkspace)."""
    return {
        "image": image,
        "command": " ".join(plane.agents.command),
        "working_dir": "/",
        "environment": {},
        "session_id": session_id,
        "run_as_user": 10001,
        "fs_group": 10001,
        "image_pull_policy": "IfNotPresent",
        "runtime_class": "sysbox-runc",
    }


class Sandboxes:
    """Custom resources, created by a client of the API server."""

    at_once = 32

    def __init__(self, plane: Plane) -> None:
        self.title = "Sandboxes"
        self._plane = plane
        self._client = plane.client
        self._namespace = plane.namespace

    def body(self, image: str, name: str) -> KubeObject:
        """What is sent: the same as by the gateway."""
        request = StartRequest.model_validate(start_body(self._plane, image, name))
        sandbox = runtime_id(OWNER, name)
        return sandbox_body(sandbox, OWNER, request, environment_hash="", class_name="default")

    async def create(self, name: str) -> None:
        """One write."""
        await self._client.create(SANDBOXES, self._namespace, self.body(COLD_IMAGE, name))

    async def claim(self, name: str) -> None:
        """One write."""
        await self._client.create(SANDBOXES, self._namespace, self.body(WARM_IMAGE, name))

    async def fill(self, size: int) -> None:
        """By a SandboxPool of this size."""
        await self.set_pool(POOL, WARM_IMAGE, size)

        async def filled() -> bool:
            return len(await self._free()) >= size

        await eventually(filled, _FILL_SECONDS)

    async def set_pool(self, name: str, image: str, size: int) -> None:
        """Create a SandboxPool for sandboxes of this image, or give it this size."""
        sandbox: dict[str, Any] = self.body(image, "any")["spec"]
        shared = ("image", "command", "workingDir", "runAsUser", "runAsGroup", "fsGroup", "imagePullPolicy")
        spec = {field: sandbox[field] for field in (*shared, "runtimeClassName") if field in sandbox}
        body = {"apiVersion": SANDBOX_POOLS.api_version, "kind": SANDBOX_POOLS.kind, "metadata": {"name": name}}
        try:
            await self._client.create(SANDBOX_POOLS, self._namespace, {**body, "spec": {**spec, "replicas": size}})
        except ApiError as error:
            if error.code != 409:
                raise
            await self._client.patch(SANDBOX_POOLS, self._namespace, name, {"spec": {"replicas": size}})

    async def _free(self) -> list[KubeObject]:
        selector = f"{POOL_LABEL}={POOL},{SANDBOX_LABEL}="
        pods: list[KubeObject] = (await self._client.list(PODS, self._namespace, labelSelector=selector))["items"]
        return [pod for pod in pods if is_ready(pod)]

    async def warm(self, names: Iterable[str]) -> int:
        """By the Sandboxes' status."""
        found: list[KubeObject] = (await self._client.list(SANDBOXES, self._namespace))["items"]
        wanted = {runtime_id(OWNER, name) for name in names}
        return sum(item["metadata"]["name"] in wanted and _launch(item) == "Warm" for item in found)

    def watch_ready(self, report: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """By the condition Ready of the Sandboxes."""

        def decode(item: KubeObject) -> str:
            return item["spec"]["sessionID"] if is_ready(item) else ""

        def changed(_: str, name: str | None) -> None:
            if name:
                report(name)

        return followed(Informer(self._client, SANDBOXES, self._namespace, decode, on_change=changed))

    async def delete(self, name: str) -> None:
        """One write; garbage collection does the rest."""
        await self._client.delete(SANDBOXES, self._namespace, runtime_id(OWNER, name))

    async def gone(self) -> None:
        """Until there are no Sandboxes, and no pods of any."""
        await eventually(self._none, _GONE_SECONDS)

    async def _none(self) -> bool:
        selector = f"{SANDBOX_LABEL},{SANDBOX_LABEL}!="
        sandboxes = await self._client.list(SANDBOXES, self._namespace, limit="1")
        pods = await self._client.list(PODS, self._namespace, labelSelector=selector, limit="1")
        return not sandboxes["items"] and not pods["items"]


class Gateway(Sandboxes):
    """/start, whose answer says that the sandbox is ready; and /stop."""

    at_once = 2048

    def __init__(self, plane: Plane, session: aiohttp.ClientSession) -> None:
        super().__init__(plane)
        self.title = "gateway"
        self._session = session
        self._url = f"http://127.0.0.1:{plane.gateway_port}"
        self._report: Callable[[str], None] = _nobody

    @classmethod
    @asynccontextmanager
    async def of(cls, plane: Plane) -> AsyncGenerator["Gateway"]:
        """With connections of its own, as many as there are requests."""
        headers = {"X-API-Key": plane.api_key}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector, trust_env=False) as session:
            yield cls(plane, session)

    async def create(self, name: str) -> None:
        """One request, held until the sandbox is ready; further ones if that takes longer than 10 s."""
        await self._start(COLD_IMAGE, name)

    async def claim(self, name: str) -> None:
        """As `create`."""
        await self._start(WARM_IMAGE, name)

    async def _start(self, image: str, name: str) -> None:
        answer = await self._request("POST", "/start", start_body(self._plane, image, name))
        while answer["status"] == "starting":
            answer = await self._request("GET", f"/sessions/{name}")
        if answer["status"] != "running":
            raise RuntimeError(f"{answer['status']}: {answer['pod_logs']}")
        self._report(name)

    @asynccontextmanager
    async def watch_ready(self, report: Callable[[str], None]) -> AsyncGenerator[None]:
        """By the answers of the gateway."""
        self._report = report
        yield
        self._report = _nobody

    async def delete(self, name: str) -> None:
        """One request."""
        await self._request("POST", "/stop", {"runtime_id": runtime_id(OWNER, name)})

    async def pause(self, name: str) -> None:
        """One request, held until the pod is gone."""
        await self._request("POST", "/pause", {"runtime_id": runtime_id(OWNER, name)})

    async def resume(self, name: str) -> None:
        """One request, held until the sandbox is ready."""
        await self._request("POST", "/resume", {"runtime_id": runtime_id(OWNER, name)})

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with self._session.request(method, f"{self._url}{path}", json=body) as response:
            if response.status != 200:
                raise RuntimeError(f"{path} answers {response.status}: {(await response.text())[:200]}")
            return await response.json()


def _launch(item: KubeObject) -> str:
    status: dict[str, Any] = item.get("status") or {}
    return status.get("launch", "")


def _nobody(_: str) -> None:
    pass

"""Gateways in this process on the real API server; the test itself plays operator and kubelet."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from control_plane.gateway.log_node import add_pod
from control_plane.waiting import PATIENCE, eventually
from sandbox_common.keys import MasterKeys, api_key_hash
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.client import CALL_SECONDS
from sandbox_common.kube.resources import PODS, SANDBOXES, SECRETS
from sandbox_common.reasons import SUSPENSIONS, Reason
from sandbox_crds.api import API_KEY_LABEL
from sandbox_crds.names import environment_secret_name
from sandbox_gateway.gateway import Gateway
from sandbox_gateway.settings import Settings

USER_AGENT = "sandbox-gateway"
API_KEY = "key-of-alice"
OTHER_API_KEY = "key-of-bob"
ADMIN_API_KEY = "key-of-root"


async def add_api_key(client: KubeClient, namespace: str, api_key: str, owner: str, **entries: str) -> str:
    """Store the hash of a key as the chart does, and further entries; gives the Secret's name."""
    body = {
        "metadata": {"generateName": "api-key-", "labels": {API_KEY_LABEL: "true"}},
        "stringData": {"sha256": api_key_hash(api_key), "owner": owner, **entries},
    }
    return (await client.create(SECRETS, namespace, body))["metadata"]["name"]


@dataclass
class Replica:
    """One gateway replica and a client of its Runtime API that sends API_KEY."""

    gateway: Gateway
    http: httpx.AsyncClient
    followers: list[asyncio.Task[None]]

    async def freeze(self) -> None:
        """End its watches: from now on it knows of no other's doing, like a replica whose watches lag."""
        for task in self.followers:
            task.cancel()
        await asyncio.gather(*self.followers, return_exceptions=True)

    async def catch_up(self, sandbox: KubeObject) -> None:
        """Return once it knows this version of a Sandbox."""
        metadata = sandbox["metadata"]

        async def known() -> bool:
            found = self.gateway.cache.get(metadata["name"])
            return found is not None and int(found.metadata.resource_version) >= int(metadata["resourceVersion"])

        await eventually(known)

    async def start(self, session_id: str, **fields: Any) -> dict[str, Any]:
        """POST /start, which must succeed."""
        return answer(await self.http.post("/start", json={"image": "agent:1", "session_id": session_id, **fields}))

    async def session(self, session_id: str) -> dict[str, Any]:
        """GET /sessions/{id}, which must succeed."""
        return answer(await self.http.get(f"/sessions/{session_id}"))

    async def post(self, path: str, runtime_id: str) -> dict[str, Any]:
        """POST of a runtime id, which must succeed."""
        return answer(await self.http.post(path, json={"runtime_id": runtime_id}))


def answer(response: httpx.Response) -> dict[str, Any]:
    """The body of a successful response."""
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def refusal(response: httpx.Response, status: int) -> str:
    """The `detail` of a refusal, which must be a string in a JSON object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert isinstance(body["detail"], str)
    return body["detail"]


@asynccontextmanager
async def replica(kubeconfig: Path, namespace: str, keys: MasterKeys, **settings: Any) -> AsyncGenerator[Replica]:
    """A synced gateway without its listener. Holds last 0.3 s unless told otherwise. It writes no audit log."""
    client = await KubeClient.connect(str(kubeconfig), USER_AGENT, patience=CALL_SECONDS)
    async with replica_with(client, namespace, keys, **settings) as running:
        yield running
    await client.close()


@asynccontextmanager
async def replica_with(
    client: KubeClient, namespace: str, keys: MasterKeys, **settings: Any
) -> AsyncGenerator[Replica]:
    """The same with this client."""
    chosen: dict[str, Any] = {"start_hold_seconds": 0.3, "poll_hold_seconds": 0.3, "audit_log": False, **settings}
    gateway = Gateway(Settings(namespace=namespace, **chosen), keys, client)
    followers = [
        asyncio.create_task(gateway.cache.informer.run()),
        asyncio.create_task(gateway.api_keys.informer.run()),
    ]
    await asyncio.wait_for(gateway.wait_synced(), PATIENCE)
    transport = httpx.ASGITransport(gateway.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway.test:8080", headers={"X-API-Key": API_KEY}, timeout=30
    ) as http:
        running = Replica(gateway, http, followers)
        yield running
        await running.freeze()


@dataclass
class Agent:
    """An HTTP server in a pod's place."""

    port: int
    probes: int = 0
    healthy: bool = True
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody waits for the answer to /for-ever."""

    @property
    def command(self) -> str:
        """Command line by which the gateway finds the port."""
        return f"agent-server --port {self.port}"


@asynccontextmanager
async def running_agent() -> AsyncGenerator[Agent]:
    """An agent server's /health on loopback, a WebSocket that echoes, and a path that never answers.

    `/traceparent` gives this header of the request.
    """
    agent = Agent(0)

    async def health(_: web.Request) -> web.Response:
        agent.probes += 1
        return web.json_response("OK") if agent.healthy else web.Response(status=503)

    async def echo(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(message.data)
        return websocket

    async def trace_parent(request: web.Request) -> web.Response:
        return web.Response(text=request.headers.get("traceparent", ""))

    async def for_ever(_: web.Request) -> web.Response:
        agent.asked.set()
        await asyncio.Event().wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_get("/sockets/echo", echo)
    app.router.add_get("/traceparent", trace_parent)
    app.router.add_get("/for-ever", for_ever)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    agent.port = runner.addresses[0][1]
    try:
        yield agent
    finally:
        await runner.cleanup()


async def environment_of(client: KubeClient, sandbox: KubeObject) -> dict[str, str]:
    """What the Secret holds that the operator would give to this Sandbox's pod."""
    metadata, spec = sandbox["metadata"], sandbox["spec"]
    if not spec["environmentHash"]:
        return {}
    name = environment_secret_name(metadata["name"], metadata["uid"], spec.get("environmentRevision", ""))
    data = (await client.get(SECRETS, metadata["namespace"], name))["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


class Operator:
    """Writes a Sandbox's status as the operator does, and has the pods that it names."""

    def __init__(self, client: KubeClient, namespace: str, keys: MasterKeys) -> None:
        self._client = client
        self._namespace = namespace
        self._keys = keys
        self._pods: dict[str, tuple[str, str, str]] = {}
        """What a status calls the UID, the UID, and the address, by name."""

    async def sandboxes(self) -> list[KubeObject]:
        """All Sandboxes of the namespace."""
        return (await self._client.list(SANDBOXES, self._namespace))["items"]

    async def only(self) -> KubeObject:
        """The one Sandbox of the namespace, awaited."""
        [sandbox] = await eventually(self.sandboxes)
        return sandbox

    async def get(self, name: str) -> KubeObject:
        """One Sandbox."""
        return await self._client.get(SANDBOXES, self._namespace, name)

    async def report(
        self, reason: Reason, message: str = "", *, name: str = "", ago: float = 0, **status: Any
    ) -> KubeObject:
        """Set the condition Ready of this Sandbox, or else of the only one; it has been so for `ago` seconds.

        A `podUID` stands for the UID of a pod of its own.
        """
        sandbox = await (self.get(name) if name else self.only())
        since = datetime.now(UTC) - timedelta(seconds=ago)
        condition: Mapping[str, str] = {
            "type": "Ready",
            "status": "True" if reason is Reason.READY else "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": since.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        gone = reason in SUSPENSIONS.values()
        chosen: dict[str, Any] = {
            "observedGeneration": sandbox["metadata"]["generation"],
            "conditions": [condition],
            "podName": "" if gone else f"pod-of-{sandbox['metadata']['name']}",
            "podUID": "" if gone else "pod-uid",
            "podIP": "" if gone else "127.0.0.1",
            "keyID": self._keys.key_id(sandbox["metadata"]["uid"]),
            **status,
        }
        if chosen["podUID"]:
            chosen["podUID"] = await self._pod(chosen["podName"], chosen["podUID"], chosen["podIP"])
        body = {"status": chosen}
        return await self._client.patch(
            SANDBOXES, self._namespace, sandbox["metadata"]["name"], body, subresource="status"
        )

    async def _pod(self, name: str, called: str, ip: str) -> str:
        """The UID of the pod that is called so; it has this address. Another one of this name goes."""
        known, uid, address = self._pods.get(name, ("", "", ""))
        if known != called:
            if known:
                await self._client.delete(PODS, self._namespace, name, grace_seconds=0)
            pod = await self._client.find(PODS, self._namespace, name)
            pod = pod or await add_pod(self._client, self._namespace, name, node="")
            uid, address = pod["metadata"]["uid"], ""
        if ip != address and ip:
            status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
            await self._client.patch(PODS, self._namespace, name, {"status": status}, subresource="status")
        self._pods[name] = called, uid, ip or address
        return uid

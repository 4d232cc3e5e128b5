"""One sandbox that falls asleep and wakes, behind gateway processes on the real API server; its pod is on loopback."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
from aiohttp import web

from control_plane.audit import Audit
from control_plane.gateway.support import API_KEY, USER_AGENT, Operator, answer
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.ports import free_port
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_gateway import gateway
from sandbox_gateway.settings import Settings

NO_POD: dict[str, Any] = {"podName": "", "podUID": "", "podIP": ""}


class EchoAgent:
    """An agent server that says what it was sent. `/silent` is never answered, `/slow` never to its end."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[str] = []
        self.asked = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Any path."""
        if request.path == "/health":
            return web.json_response("OK")
        self.requests.append(request.path)
        if request.headers.get("Upgrade") == "websocket":
            return await self._websocket(request)
        if request.path == "/slow":
            response = web.StreamResponse(headers={"Content-Length": "9"})
            await response.prepare(request)
            await response.write(b"half")
        if request.path in {"/slow", "/silent"}:
            self.asked.set()
            await asyncio.Event().wait()
        return web.Response(body=await request.read())

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(str(message.data))
        return websocket


@asynccontextmanager
async def echo_agent(host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[EchoAgent]:
    """An agent server on this loopback address."""
    agent = EchoAgent()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", agent.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    agent.port = runner.addresses[0][1]
    try:
        yield agent
    finally:
        await runner.cleanup()


@asynccontextmanager
async def listening(control_plane: ControlPlane, namespace: str, **settings: Any) -> AsyncGenerator[str]:
    """The URL of a whole gateway that runs in this process; one of its own takes seconds to start."""
    port, stop = free_port(), asyncio.Event()
    chosen: dict[str, Any] = {"kubeconfig": str(control_plane.kubeconfig), **settings}
    started = Settings(
        namespace=namespace,
        listen_host="127.0.0.1",
        listen_port=port,
        health_port=free_port(),
        shutdown_grace_seconds=1,
        **chosen,
    )
    running = asyncio.create_task(gateway.run(started, stop))

    async def listens() -> bool:
        if running.done():
            await running
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    await eventually(listens)
    yield f"http://127.0.0.1:{port}"
    stop.set()
    await asyncio.wait_for(running, PATIENCE)


class Sleeper:
    """The sandbox and its clients; `replicas` are the gateways' URLs."""

    def __init__(
        self, client: KubeClient, namespace: str, operator: Operator, audit: Audit, replicas: list[str]
    ) -> None:
        self.replicas = replicas
        self.operator = operator
        self._client = client
        self._namespace = namespace
        self._audit = audit
        self.name = ""
        self.key = ""

    async def start(self, agent: EchoAgent, **fields: Any) -> None:
        """Start it, and let it become ready."""
        command = f"agent-server --port {agent.port}"
        body = {"image": "agent:1", "session_id": "s", "command": command, **fields}
        async with httpx.AsyncClient(base_url=self.replicas[0], timeout=20, trust_env=False) as http:
            starting = asyncio.create_task(http.post("/start", json=body, headers={"X-API-Key": API_KEY}))
            await self.operator.only()
            await self.operator.report(Reason.READY, podUID="first")
            started = answer(await starting)
        self.name, self.key = started["runtime_id"], started["session_api_key"]
        for replica in self.replicas:
            await self._until(replica, 200)

    async def suspend(self, reason: str = "Idle") -> None:
        """As the operator does it; every replica knows."""
        await self.patch({"suspend": True, "suspendReason": reason})
        await self.operator.report(Reason.IDLE if reason == "Idle" else Reason.SUSPENDED, **NO_POD)
        for replica in self.replicas:
            await self._until(replica, 503)

    async def patch(self, spec: dict[str, Any]) -> KubeObject:
        """Change its spec as an administrator."""
        return await self._client.patch(SANDBOXES, self._namespace, self.name, {"spec": spec})

    async def woken(self) -> KubeObject:
        """The sandbox, once its suspension has been taken back."""

        async def look() -> KubeObject | None:
            sandbox = await self._client.get(SANDBOXES, self._namespace, self.name)
            return None if sandbox["spec"].get("suspend") else sandbox

        return await eventually(look)

    async def become_ready(self, pod_ip: str = "127.0.0.1") -> None:
        """Its next pod answers."""
        await self.operator.report(Reason.STARTING, podUID="second", podIP="")
        await self.operator.report(Reason.READY, podUID="second", podIP=pod_ip)

    async def writes(self) -> list[int]:
        """Codes of the gateways' writes to it, after its creation."""
        writes = await self._audit.writes(self._client, self._namespace, USER_AGENT)
        return sorted(write.code for write in writes if write.what == "patch sandboxes")

    async def ask(self, replica: int, path: str = "/a", content: bytes = b"") -> httpx.Response:
        """A request with its key through this replica."""
        async with self.http(replica) as http:
            return await http.post(path, content=content)

    def http(self, replica: int) -> httpx.AsyncClient:
        """A client that sends its key through this replica."""
        headers = {"X-Session-API-Key": self.key}
        return httpx.AsyncClient(base_url=self.replicas[replica], headers=headers, timeout=30, trust_env=False)

    @asynccontextmanager
    async def websocket(self, replica: int, *, in_handshake: bool) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        """An open WebSocket with its key, there or in its first message. Raises aiohttp.WSServerHandshakeError."""
        headers = {"X-Session-API-Key": self.key} if in_handshake else {}
        url = f"{self.replicas[replica]}/sockets/events/1"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as websocket:
            if not in_handshake:
                await websocket.send_json({"type": "auth", "session_api_key": self.key})
            yield websocket

    async def _until(self, replica: str, status: int) -> None:
        """Wait until this replica answers a health check of the sandbox so."""
        async with httpx.AsyncClient(headers={"X-Session-API-Key": self.key}, trust_env=False) as http:

            async def look() -> bool:
                return (await http.get(f"{replica}/health")).status_code == status

            await eventually(look)

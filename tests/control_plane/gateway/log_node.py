"""The test plays a node that has logs: the part of a kubelet which the API server asks for them."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import NODES, PODS

NODE = "log-node"


class LogNode:
    """Answers for one pod's log. `asked` are the queries; what follows an answer's `log` comes from `more`."""

    def __init__(self) -> None:
        self.log = b""
        self.asked: list[dict[str, str]] = []
        self.more: asyncio.Queue[bytes] = asyncio.Queue()
        self.followers = 0
        self.status = 200

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`/containerLogs/{namespace}/{pod}/{container}`."""
        self.asked.append({**request.query, "path": request.path})
        if self.status != 200:
            return web.Response(status=self.status, text="the container is waiting")
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(self.log)
        if request.query.get("follow") == "true":
            self.followers += 1
            try:
                while data := await self.more.get():
                    await response.write(data)
            finally:
                self.followers -= 1
        return response


@asynccontextmanager
async def log_node(client: KubeClient, tls: ssl.SSLContext) -> AsyncGenerator[LogNode]:
    """A node on loopback; it is deleted at the end."""
    node = LogNode()
    app = web.Application()
    app.router.add_get("/containerLogs/{path:.*}", node.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    await client.create(NODES, "", {"metadata": {"name": NODE}})
    status: dict[str, Any] = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": runner.addresses[0][1]}},
    }
    await client.patch(NODES, "", NODE, {"status": status}, subresource="status")
    try:
        yield node
    finally:
        await client.delete(NODES, "", NODE)
        await runner.cleanup()


async def add_pod(client: KubeClient, namespace: str, name: str, node: str = NODE) -> KubeObject:
    """A pod of an agent server on this node."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec: dict[str, Any] = {
        "containers": [{"name": "agent-server", "image": "agent:1", "securityContext": security}],
        "automountServiceAccountToken": False,
        **({"nodeName": node} if node else {}),
    }
    return await client.create(PODS, namespace, {"metadata": {"name": name}, "spec": spec})

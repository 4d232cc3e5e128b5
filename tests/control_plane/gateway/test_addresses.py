"""Addresses of pods are handed on under load, and no operator says so: no key reaches another pod."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from control_plane.gateway.log_node import add_pod
from control_plane.gateway.sleeper import listening
from control_plane.gateway.support import API_KEY, Operator
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.ports import free_port
from sandbox_common.kube import KubeClient, Resource
from sandbox_common.kube.resources import PODS
from sandbox_common.reasons import Reason

pytestmark = pytest.mark.usefixtures("api_keys")

FATES = ("gone", "another of this name", "another address", "being deleted", "stays", "stays")


class PodServer:
    """Everything that listens in a pod. `texts` is what it was sent: targets, headers and messages."""

    def __init__(self, ip: str, port: int) -> None:
        self.ip = ip
        self.texts: list[str] = []
        self.connections = 0
        self._port = port
        self._server = web.Server(self._serve)  # pyright: ignore[reportArgumentType]
        self._listening: asyncio.Server

    async def begin(self) -> None:
        """It has its address from now on."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._connected, self.ip, self._port, reuse_address=True)

    async def end(self) -> None:
        """Its network is gone, and all connections with it."""
        self._listening.close()
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._server.shutdown(0)

    def _connected(self) -> asyncio.Protocol:
        self.connections += 1
        return self._server()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/health":
            self.texts.append(f"{request.path_qs} {dict(request.headers)}")
        if request.headers.get("Upgrade") != "websocket":
            # Every second answer is the last on its connection, so that there are always new ones.
            last = {"Connection": "close"} if len(self.texts) % 2 else {}
            return web.json_response("OK", headers=last)
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            self.texts.append(str(message.data))
            await websocket.send_str("echo")
        return websocket


@dataclass
class Home:
    """A sandbox, its key, and what has been answered to its clients."""

    fate: str
    name: str
    key: str
    server: PodServer
    answers: Counter[object] = field(default_factory=Counter[object])


class Town:
    """Sandboxes behind one gateway, each with clients that never stop asking."""

    def __init__(self, url: str, client: KubeClient, namespace: str, operator: Operator) -> None:
        self.homes: list[Home] = []
        self.strangers: list[PodServer] = []
        self._url = url
        self._client = client
        self._namespace = namespace
        self._operator = operator
        self._port = free_port()
        self._ips = (f"127.77.0.{number}" for number in itertools.count(1))

    async def server(self, ip: str = "") -> PodServer:
        made = PodServer(ip or next(self._ips), self._port)
        await made.begin()
        return made

    async def settle(self, http: aiohttp.ClientSession, fate: str) -> None:
        """Start a sandbox, and a pod for it."""
        body = {"image": "i", "session_id": f"s-{len(self.homes)}", "command": f"agent-server --port {self._port}"}
        async with http.post(f"{self._url}/start", json=body, headers={"X-API-Key": API_KEY}) as response:
            started = await response.json()
        home = Home(fate, started["runtime_id"], started["session_api_key"], await self.server())
        await self._operator.report(Reason.READY, name=home.name, podIP=home.server.ip)
        if fate == "being deleted":
            binding = {"metadata": {"name": f"pod-of-{home.name}"}, "target": {"kind": "Node", "name": "node"}}
            path = f"pods/pod-of-{home.name}/binding"
            await self._client.create(Resource("", "v1", path, "Binding"), self._namespace, binding)
        self.homes.append(home)

    async def hand_on(self, home: Home) -> None:
        """The sandbox's pod loses its address to another pod, and nothing but the pods says so."""
        pod, ip = f"pod-of-{home.name}", home.server.ip
        if home.fate == "another address":
            await self._address(pod, "127.77.1.1")
        elif home.fate == "being deleted":
            await self._client.delete(PODS, self._namespace, pod)
        else:
            await self._client.delete(PODS, self._namespace, pod, grace_seconds=0)
        await home.server.end()
        newcomer = pod if home.fate == "another of this name" else f"stranger-at-{ip}"
        await add_pod(self._client, self._namespace, newcomer, node="")
        await self._address(newcomer, ip)
        self.strangers.append(await self.server(ip))

    async def come_back(self, home: Home) -> None:
        """The sandbox gets another pod, and the status says so."""
        home.server = await self.server()
        await self._operator.report(
            Reason.READY, name=home.name, podName=f"next-{home.name}", podUID="next", podIP=home.server.ip
        )

    async def _address(self, pod: str, ip: str) -> None:
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}
        await self._client.patch(PODS, self._namespace, pod, {"status": status}, subresource="status")

    async def ask(self, http: aiohttp.ClientSession, home: Home) -> None:
        """Requests without end."""
        header, query = {"X-Session-API-Key": home.key}, {"session_api_key": home.key}
        ways: list[dict[str, Any]] = [{"headers": header}, {"headers": header, "params": query}]
        ways.append({"headers": {"Authorization": f"Bearer {home.key}"}})
        for way in itertools.cycle(ways):
            async with http.get(f"{self._url}/a", **way) as response:
                await response.read()
                home.answers[response.status] += 1
                if response.status == 503:
                    home.answers["retry"] += "Retry-After" in response.headers
            await asyncio.sleep(0.005)

    async def talk(self, http: aiohttp.ClientSession, home: Home, *, in_handshake: bool) -> None:
        """One WebSocket after the other."""
        headers = {"X-Session-API-Key": home.key} if in_handshake else {}
        while True:
            try:
                async with http.ws_connect(f"{self._url}/sockets/a", headers=headers) as websocket:
                    await websocket.send_json({"type": "auth", "session_api_key": home.key})
                    heard = await websocket.receive()
                    home.answers[heard.data] += 1
            except aiohttp.WSServerHandshakeError as error:
                home.answers[error.status] += 1
            await asyncio.sleep(0.02)


@asynccontextmanager
async def asking(town: Town, http: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """Meanwhile all clients ask."""
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []
        for home in town.homes:
            tasks += [group.create_task(town.ask(http, home)) for _ in range(3)]
            tasks += [group.create_task(town.talk(http, home, in_handshake=where)) for where in (True, False)]
        yield
        for task in tasks:
            task.cancel()


async def test_no_key_reaches_a_pod_that_has_got_the_address(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, client: KubeClient, operator: Operator
) -> None:
    async with AsyncExitStack() as stack:
        settings: dict[str, Any] = {"master_key_dir": master_key_dir, "start_hold_seconds": 0}
        url = await stack.enter_async_context(listening(control_plane, namespace, **settings))
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        town = Town(url, client, namespace, operator)
        for fate in FATES:
            await town.settle(http, fate)
        movers = [home for home in town.homes if home.fate != "stays"]

        async def each_has(answer: object, homes: list[Home], number: int) -> bool:
            assert not any(stranger.texts for stranger in town.strangers)
            return all(home.answers[answer] >= number for home in homes)

        async def known() -> bool:
            for home in town.homes:
                async with http.get(f"{url}/a", headers={"X-Session-API-Key": home.key}) as response:
                    if response.status != 200:
                        return False
            return True

        await eventually(known)
        async with asking(town, http):
            await eventually(lambda: each_has(200, town.homes, 10))
            await eventually(lambda: each_has("echo", town.homes, 4))
            await asyncio.gather(*(town.hand_on(home) for home in movers))
            for home in movers:
                home.answers.clear()
            await eventually(lambda: each_has("retry", movers, 20))
            await eventually(lambda: each_has(1013, movers, 4))
            # Nothing of before is left: what is answered now comes from nobody but the gateway.
            assert all({*home.answers} <= {503, "retry", 1013, 502, 1006, None} for home in movers), movers
            assert all(stranger.connections for stranger in town.strangers)
            await asyncio.gather(*(town.come_back(home) for home in movers))
            await eventually(lambda: each_has(200, movers, 10))
        assert len(town.strangers) == len(movers)
        assert not any(stranger.texts for stranger in town.strangers)
        for home in town.homes:
            own, others = home.key, {other.key for other in town.homes} - {home.key}
            assert any(own in text for text in home.server.texts)
            assert not any(key in text for text in home.server.texts for key in others)
            if home.fate == "stays":
                assert {*home.answers} == {200, "echo"}, home.answers
        for server in (*town.strangers, *(home.server for home in town.homes)):
            await server.end()

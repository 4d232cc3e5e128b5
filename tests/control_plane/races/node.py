"""A node that takes its time: it runs each pod after a while, with an agent server, and ends it likewise."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from math import inf
from typing import Self

from aiohttp import web

from control_plane.operator.kubelet import Kubelet
from local_cluster.ports import free_port
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, Informer, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS, SECRETS
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_operator.watching.pods import controller_uid

_PAUSE = 0.05
_LONGEST_DELAYS = (0.0, 0.05, 0.6)


@dataclass
class Agent:
    """The agent server in one pod. Times are the event loop's; it answers from `up` until `down`."""

    owner_uid: str
    address: str
    up: float = inf
    down: float = inf
    runner: web.AppRunner | None = None


class Node:
    """Runs the pods of one namespace. Each has an address of its own on loopback, and all the same port."""

    def __init__(self, client: KubeClient, namespace: str, keys: MasterKeys) -> None:
        self._client = client
        self._namespace = namespace
        self._keys = keys
        self._kubelet = Kubelet(client, namespace)
        self._random = random.Random(0)
        self._addresses = (f"127.64.{n // 250}.{n % 250 + 1}" for n in itertools.count())
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, KubeObject] = {}
        self._informer = Informer(
            client, PODS, namespace, lambda item: item, label_selector=SANDBOX_LABEL, on_change=self._on_change
        )
        self._servers: list[web.Server] = []
        self.port = free_port()
        self.routes: list[web.RouteDef] = []
        """What agent servers answer besides, from the next one on."""
        self.agents: dict[str, Agent] = {}
        """All agent servers there have been, by their pods' UID."""
        self.most_at_once = 0
        """How many pods one Sandbox has had at the same time at most."""

    @property
    def command(self) -> str:
        """Command line of the agent servers."""
        return f"agent-server --port {self.port}"

    def seed(self, seed: int) -> None:
        """Draw all delays from here on anew."""
        self._random.seed(seed)

    def pods(self, owner_uid: str) -> list[KubeObject]:
        """The Sandbox's pods as last seen."""
        return [pod for pod in self._informer if controller_uid(pod) == owner_uid]

    def agents_of(self, owner_uid: str) -> list[Agent]:
        """All agent servers that the Sandbox has had."""
        return [agent for agent in self.agents.values() if agent.owner_uid == owner_uid]

    async def crash(self, pod: KubeObject) -> None:
        """The agent server in this pod ends again and again."""
        await _stop(self.agents[pod["metadata"]["uid"]])
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}
        await self._kubelet.report(pod["metadata"]["name"], state=waiting, restarts=5)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[Self]:
        """Meanwhile pods run."""
        following = asyncio.create_task(self._informer.run())
        try:
            await self._informer.wait_synced()
            yield self
        finally:
            tasks = [following, *self._lives.values(), *self._ends.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for agent in self.agents.values():
                await _stop(agent)
            # A connection that is accepted while its server closes is not closed with it.
            await asyncio.sleep(_PAUSE)
            for server in self._servers:
                await server.shutdown(0)

    def _on_change(self, name: str, pod: KubeObject | None) -> None:
        if pod is None:
            self._gone(self._seen.pop(name))
            return
        if (before := self._seen.get(name)) and before["metadata"]["uid"] != pod["metadata"]["uid"]:
            self._gone(before)
        self._seen[name] = pod
        uid = pod["metadata"]["uid"]
        if uid not in self.agents:
            owner = controller_uid(pod)
            self.most_at_once = max(self.most_at_once, len(self.pods(owner)))
            self.agents[uid] = agent = Agent(owner, next(self._addresses))
            self._lives[uid] = asyncio.create_task(self._live(name, pod, agent))
        if "deletionTimestamp" in pod["metadata"] and uid not in self._ends:
            self._ends[uid] = asyncio.create_task(self._end(name, uid))

    async def _live(self, name: str, pod: KubeObject, agent: Agent) -> None:
        with contextlib.suppress(ApiError):
            await self._pass_time()
            # kube-controller-manager deletes the pods of a node that does not exist, 40 s after it has first missed it.
            await self._kubelet.bind(name, f"node-of-{name}")
            await self._pass_time()
            # Without them a kubelet starts no container.
            for source in pod["spec"]["containers"][0]["envFrom"]:
                await self._await_secret(source["secretRef"]["name"])
            await self._serve(agent)
            await self._kubelet.report(name, ready=True, podIP=agent.address, podIPs=[{"ip": agent.address}])

    async def _await_secret(self, name: str) -> None:
        while True:
            try:
                await self._client.get(SECRETS, self._namespace, name)
                return
            except ApiError as error:
                if error.code != 404:
                    raise
            await asyncio.sleep(_PAUSE)

    async def _end(self, name: str, uid: str) -> None:
        await self._pass_time()
        self._lives[uid].cancel()
        await _stop(self.agents[uid])
        with contextlib.suppress(ApiError):
            await self._client.delete(PODS, self._namespace, name, uid=uid, grace_seconds=0)

    def _gone(self, pod: KubeObject) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._ends:
            self._ends[uid] = asyncio.create_task(_stop(self.agents[uid]))
        self._lives[uid].cancel()

    async def _pass_time(self) -> None:
        await asyncio.sleep(self._random.uniform(0, self._random.choice(_LONGEST_DELAYS)))

    async def _serve(self, agent: Agent) -> None:
        key = self._keys.session_key(self._keys.key_id(agent.owner_uid))

        async def health(_: web.Request) -> web.Response:
            return web.json_response("OK")

        async def own_key(request: web.Request) -> web.Response:
            if request.headers.get("X-Session-API-Key") != key:
                return web.json_response({"detail": "Unauthorized"}, status=401)
            return web.json_response({"session_api_key": key})

        app = web.Application()
        app.router.add_get("/health", health)
        app.router.add_get("/api/key", own_key)
        app.add_routes(self.routes)
        agent.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await agent.runner.setup()
        assert agent.runner.server
        self._servers.append(agent.runner.server)
        await web.TCPSite(agent.runner, agent.address, self.port).start()
        agent.up = asyncio.get_running_loop().time()


async def _stop(agent: Agent) -> None:
    runner, agent.runner = agent.runner, None
    if runner:
        agent.down = asyncio.get_running_loop().time()
        await runner.cleanup()

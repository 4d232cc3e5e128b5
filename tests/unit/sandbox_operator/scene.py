"""Passes over one sandbox, with an API server that fails and caches that lag at will."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox_common.api_keys import Limits
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOX_POOLS, SANDBOXES
from sandbox_common.times import rfc3339
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_crds.names import pod_name
from sandbox_operator.agents.agent_server import Address, AgentServers
from sandbox_operator.limits.start_queue import StartQueue
from sandbox_operator.pools.api import PoolApi
from sandbox_operator.pools.builders import build_warm_pod, build_warm_volume_claim
from sandbox_operator.pools.claims import Claims
from sandbox_operator.pools.client_environments import ClientEnvironments
from sandbox_operator.pools.initializer import Initializer
from sandbox_operator.pools.pod_index import PodIndex
from sandbox_operator.sandboxes.agent_requests import AgentRequests
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.sandboxes.lives import Lives
from sandbox_operator.sandboxes.reconciler import Reconciler
from sandbox_operator.sandboxes.services import Services
from sandbox_operator.sandboxes.traces import StartTraces
from sandbox_operator.watching.definitions import Definitions
from sandbox_operator.watching.pods import Pod, decode
from sandbox_operator.watching.pulls import PullUnderWay
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.store import Store
from unit.sandbox_operator.faults import Server
from unit.sandbox_operator.samples import (
    IMAGE,
    KEYS,
    NOW,
    UID,
    condition,
    container,
    ready,
)

POOL: dict[str, Any] = {
    "metadata": {"name": "pool", "namespace": "here", "uid": "of the pool", "resourceVersion": "1"},
    "spec": {"image": IMAGE},
}


class Queue(WorkQueue):
    """Notes what is put off, instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.put_off: list[float] = []
        self.retried: list[float] = []
        self.idle = asyncio.Event()

    def done(self, key: str) -> None:
        super().done(key)
        self.idle.set()

    def add_after(self, key: str, seconds: float) -> None:
        self.put_off.append(seconds)

    def retry(self, key: str, at_least: float = 0.0) -> None:
        self.retried.append(at_least)


class Agents(AgentServers):
    """Notes what agent servers are asked; `meanwhile` happens before their answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.answers = asyncio.Event()
        self.answers.set()

    async def prepare_for_pause(self, name: str, address: Address, key_id: str) -> None:
        self.asked.append((address[0], key_id))
        self.meanwhile()
        await self.answers.wait()


class Scene:
    """One Sandbox `one`, one class, and a cache of pods that shows what it is given. Several may share a server."""

    def __init__(self, server: Server | None = None, traces: StartTraces | None = None) -> None:
        self.server = server or Server()
        self.queue = Queue()
        self.pod_index = PodIndex()
        self.seen = 0
        """The version up to which the cache of pods is complete."""
        self.lives = Lives()
        self.sandboxes: Store[Sandbox] = Store(SANDBOXES, Sandbox, self._sandbox_changed)
        self.classes: Store[SandboxClass] = Store(SANDBOX_CLASSES, SandboxClass, lambda _: None)
        self.set_class(1)
        self.now = NOW
        self.agents = Agents()
        self.pools: Store[SandboxPool] = Store(SANDBOX_POOLS, SandboxPool, lambda _: None)
        self.started: list[str] = []
        """Pools that a start has hit, or missed only since they were empty."""
        self.pull: PullUnderWay | None = None
        """The image pull that the pod waits for."""
        self.limits = Limits()
        """Those of every owner."""
        self.start_queue = StartQueue(lambda _: self.limits, self.queue.add)
        self.services = Services(self.server.client, "here")
        self.definitions = Definitions()
        pool_api = PoolApi(self.server.client, "here")
        api, environments = Api(self.server.client, "here"), ClientEnvironments(self.server.client, "here", KEYS)
        self.reconciler = Reconciler(
            api,
            KEYS,
            self.queue,
            self.sandboxes,
            self.classes,
            self.pod_index,
            lambda: self.seen,
            Claims(pool_api, environments, KEYS, self.pod_index, self.pools, self.started.append),
            AgentRequests(self.agents, Initializer(self.agents, environments), self.queue),
            self.start_queue,
            self.services,
            lambda _, __, ___: self.pull,
            self.lives,
            lambda: self.now,
            self.definitions,
            traces=traces,
        )

    def _sandbox_changed(self, name: str) -> None:
        self.lives.sandbox_changed(name, self.sandboxes.get(name), self.now)

    def add(self, owner: str = "", **status: Any) -> None:
        metadata = {"name": "one", "namespace": "here", "uid": UID, "resourceVersion": "1", "generation": 1}
        body = {
            "metadata": {**metadata, "creationTimestamp": rfc3339(NOW)},
            "spec": {"image": IMAGE, "service": "None", "owner": owner},
            "status": status,
        }
        self.server.objects["sandboxes", "one"] = body
        self.sandboxes.put(body)

    def another(self, name: str) -> Sandbox:
        """Another Sandbox of the owner `team`, which only the start queue knows."""
        return Sandbox.model_validate(
            {"metadata": {"name": name, "uid": name}, "spec": {"image": IMAGE, "owner": "team"}}
        )

    def set_class(self, version: int, **spec: Any) -> None:
        """Make or change the class `default`."""
        metadata = {"name": "default", "uid": "class", "resourceVersion": str(version)}
        self.classes.put({"metadata": metadata, "spec": {"egress": "Internet", **spec}})

    @property
    def stored(self) -> dict[str, Any]:
        """The Sandbox as the API server has it."""
        return self.server.objects["sandboxes", "one"]

    def edit(self, *, seen: bool = True, **spec: Any) -> None:
        """Somebody changes the spec, and the watch tells it if it is `seen`."""
        metadata = self.stored["metadata"]
        metadata = {
            **metadata,
            "generation": metadata["generation"] + 1,
            "resourceVersion": str(int(metadata["resourceVersion"]) + 1),
        }
        self.server.objects["sandboxes", "one"] = {
            **self.stored,
            "metadata": metadata,
            "spec": {**self.stored["spec"], **spec},
        }
        if seen:
            self.sandboxes.put(self.stored)

    async def start(self) -> None:
        """A sandbox that is ready, as all know."""
        self.add()
        await self.step()
        self.show(answering)
        await self.step()

    def show(self, change: Callable[[Pod], Pod] = lambda pod: pod) -> None:
        """Let the cache see the pod."""
        [body] = [body for (plural, _), body in self.server.objects.items() if plural == "pods"]
        seen = change(decode(body))
        self.lives.pod_changed(self.pod_index.changed(seen.name, seen), seen, self.now)

    @property
    def pod(self) -> Pod:
        """The sandbox's own pod as the cache has it."""
        found = self.pod_index.get(pod_name("one", UID))
        assert found
        return found

    def lose(self) -> None:
        """The cache sees the sandbox's own pod go."""
        self.pod_index.changed(pod_name("one", UID), None)

    def forget(self) -> None:
        """Another operator goes on, which has no memory; the caches stay as they are."""
        self.reconciler._memories.clear()  # pyright: ignore[reportPrivateUsage] - another process has none

    def end(self) -> None:
        """The sandbox's own pod ends, and the cache sees it."""
        del self.server.objects["pods", pod_name("one", UID)]
        self.lose()

    async def step(self) -> list[str]:
        """One pass, and those that it asks for at once; gives the requests that they have made."""
        before = len(self.server.seen)
        await self.reconciler.reconcile("one")
        await asyncio.sleep(0)
        while len(self.queue):
            key = await self.queue.get()
            await self.reconciler.reconcile(key)
            self.queue.done(key)
        return self.server.seen[before:]

    async def work(self) -> list[str]:
        """One pass by a worker, which survives whatever happens."""
        before = len(self.server.seen)
        self.queue.add("one")
        worker = asyncio.create_task(self.reconciler.work())
        await asyncio.wait([worker, asyncio.create_task(self.queue.idle.wait())], return_when=asyncio.FIRST_COMPLETED)
        self.queue.idle.clear()
        assert not worker.done()
        worker.cancel()
        return self.server.seen[before:]

    @property
    def told(self) -> str:
        return self.stored["status"]["conditions"][0]["reason"]

    def events(self, reason: str) -> list[dict[str, Any]]:
        """The Events of this reason."""
        return [
            body
            for (plural, _), body in self.server.objects.items()
            if plural == "events" and body.get("reason") == reason
        ]


def answering(pod: Pod) -> Pod:
    return ready(uid=pod.uid, created=pod.created, sandbox=pod.sandbox, resource_version=pod.resource_version)


def as_ready(pod: Pod) -> Pod:
    """The pod when its agent server answers."""
    answering = container(waiting_reason="", running_since=NOW, ready=True)
    return replace(pod, phase="Running", ip="10.244.0.7", ready=condition(True), container=answering)


class WarmScene(Scene):
    """The same with the pool `pool`."""

    def __init__(self, traces: StartTraces | None = None) -> None:
        super().__init__(traces=traces)
        self.pools.put(POOL)

    async def stock_up(self, *names: str) -> None:
        """Have free pods of these names, ready ones, with volumes if the class has them."""
        for name in names:
            pool, class_ = SandboxPool.model_validate(POOL), self.classes.get("default")
            assert class_
            body = build_warm_pod(pool, class_, KEYS, name)
            status = {
                "phase": "Running",
                "podIP": "10.244.0.7",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T12:00:00Z"}],
            }
            metadata = {"uid": f"uid-of-{name}", "creationTimestamp": "2026-11-23T11:00:00Z", "resourceVersion": "1"}
            stored = {**body, "status": status, "metadata": {**body["metadata"], **metadata}}
            self.server.objects["pods", name] = stored
            if (made := decode(stored)).volume_claim:
                claim = build_warm_volume_claim(pool, class_, made)
                brought = {"metadata": {**claim["metadata"], **metadata, "uid": f"uid-of-volume-{name}"}}
                self.server.objects["persistentvolumeclaims", name] = claim | brought
            self.see(name)

    def see(self, name: str) -> None:
        """Let the cache see this pod as it is now."""
        body = self.server.objects.get(("pods", name))
        self.pod_index.changed(name, decode(body) if body else None)

    @property
    def status(self) -> dict[str, Any]:
        """The Sandbox's status as the API server has it."""
        return self.stored["status"]

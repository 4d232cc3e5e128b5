"""One schedule: what users, nodes and the network do is drawn from its seed. In the end all must be as it is wanted."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, override

import structlog

from control_plane.operator.mortal import parts_of
from sandbox_common import times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.times import rfc3339
from sandbox_crds.api import API_VERSION, SANDBOX_LABEL
from sandbox_operator.agents.agent_server import Address, AgentServers
from sandbox_operator.app import Operator
from schedules.api_server import NAMESPACE, ApiServer
from schedules.cluster import Cluster
from schedules.judge import Judge
from schedules.schedule import POOL, Schedule
from schedules.session import Weather, client_of

IMAGE = "registry.example/agent-server:1"
KEYS = MasterKeys.of({1: b"m" * 32})

_SETTLED_SECONDS = 700.0
"""Longer than any pause after failures, and than the time between two lists."""


class _Agents(AgentServers):
    """Agent servers that save their work in time."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    @override
    async def prepare_for_pause(self, name: str, address: Address, key_id: str) -> None:
        await asyncio.sleep(self._draw.choice((0.0, 0.2, 3.0)))


class Life:
    """Plays the schedule of one seed. `story` tells what has happened, and `judge` what was wrong."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        random.seed(seed)
        self.schedule = Schedule.drawn(self._draw)
        self.story: list[str] = [f"seed {seed}: {self.schedule}"]
        self._server = ApiServer(times.utc_now)
        self._cluster = Cluster(self._server, self._draw, times.utc_now)
        self.judge = Judge(self._server, self._cluster, self.schedule, self._tell)
        self._weathers: list[Weather] = []
        self._calm = asyncio.Event()

    async def play(self) -> None:
        """The whole schedule."""
        schedule, server = self.schedule, self._server
        workspace: dict[str, Any] = {"persistent": True, "size": "1Gi"} if schedule.persistent else {}
        self._add("sandboxclasses", "SandboxClass", "default", egress="Internet", workspace=workspace)
        if schedule.replicas:
            self._add("sandboxpools", "SandboxPool", POOL, image=IMAGE, replicas=schedule.replicas)
        deaths = schedule.deaths
        async with asyncio.TaskGroup() as group:
            operators = [
                group.create_task(self._operate(number, deaths if number == 0 else 0))
                for number in range(schedule.operators)
            ]
            for _ in range(schedule.steps):
                await asyncio.sleep(self._draw.choice((0.0, 0.05, 0.5, 3.0, 15.0)))
                self._step()
            await asyncio.sleep(self._draw.choice((0.0, 2.0, 15.0)))
            self._tell("calm")
            server.has_room = True
            self._calm.set()
            for weather in self._weathers:
                weather.share, weather.lag, weather.left = 0.0, 0.0, None
            await asyncio.sleep(_SETTLED_SECONDS)
            self.judge.end()
            for operator in operators:
                operator.cancel()
            self._cluster.end()

    # Users and nodes

    def _add(self, plural: str, kind: str, name: str, **spec: Any) -> KubeObject:
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        return self._server.create(plural, body)

    def _step(self) -> None:
        name = self._draw.choice(self.schedule.names)
        sandbox = self._server.find("sandboxes", name)
        if sandbox is None:
            self._tell(f"{name} is made")
            self._add("sandboxes", "Sandbox", name, image=IMAGE, service=self.schedule.service, owner="team")
            return
        pods = [pod for pod in self._server.all("pods") if pod["metadata"]["labels"].get(SANDBOX_LABEL) == name]
        acts: list[Callable[[str], None]] = [self._toggle, self._toggle, self._toggle, self._restart, self._remove]
        acts += [self._fill, self._settle_key, self._forget_service]
        if pods:
            pod = self._draw.choice(pods)
            if "deletionTimestamp" not in pod["metadata"]:
                acts += [partial(self._lose, how, pod) for how in (self._cluster.drain, self._cluster.evict)]
            acts += [partial(self._lose, self._cluster.lose, pod)] * 2
        if self.schedule.replicas:
            acts.append(self._resize)
        self._draw.choice(acts)(name)

    def _edit(self, name: str, **spec: Any) -> None:
        self._tell(f"{name} is changed: {spec}")
        self._server.patch("sandboxes", name, {"spec": spec})

    def _toggle(self, name: str) -> None:
        spec = self._server.get("sandboxes", name)["spec"]
        self._edit(name, suspend=not spec.get("suspend"), suspendReason="" if spec.get("suspend") else "Requested")

    def _restart(self, name: str) -> None:
        self._edit(name, restartedAt=rfc3339(times.utc_now()))

    def _remove(self, name: str) -> None:
        self._tell(f"{name} is deleted")
        self._server.delete("sandboxes", name)

    def _settle_key(self, name: str) -> None:
        """As a gateway does that gives the key away before the sandbox has a pod."""
        item = self._server.get("sandboxes", name)
        if not item.get("status", {}).get("podName"):
            self._edit(name, warmStart="Never")

    def _forget_service(self, name: str) -> None:
        if self._server.find("services", name):
            self._tell(f"the Service of {name} is deleted")
            self._server.delete("services", name)

    def _fill(self, _: str) -> None:
        self._server.has_room = not self._server.has_room
        self._tell(f"the quota {'has' if self._server.has_room else 'has no'} room")

    def _resize(self, _: str) -> None:
        replicas = self._draw.randrange(4)
        self._tell(f"the pool is to have {replicas}")
        self._server.patch("sandboxpools", POOL, {"spec": {"replicas": replicas}})

    def _lose(self, how: Callable[[KubeObject], None], pod: KubeObject, _: str) -> None:
        self._tell(f"pod {pod['metadata']['name']}, {pod['metadata']['uid']}: {how.__name__}")
        how(pod)

    # Operators

    async def _operate(self, number: int, deaths: int) -> None:
        """One operator after the other."""
        while True:
            left = self._draw.choice((0, 1, 2, 3, 5, 8, 13)) if deaths and not self._calm.is_set() else None
            weather = Weather(
                random.Random(self._draw.random()),
                0.0 if self._calm.is_set() else self.schedule.share,
                0.0 if self._calm.is_set() else self.schedule.lag,
                left,
                last_is_sent=self._draw.random() < 0.5,
                tell=lambda what: self._tell(f"operator {number}: {what}"),
            )
            self._weathers.append(weather)
            self._tell(f"operator {number} begins")
            await self._work(weather)
            deaths -= 1
            await asyncio.sleep(self._draw.choice((0.0, 0.5, 8.0)))

    async def _work(self, weather: Weather) -> None:
        """One process until it dies."""
        client = client_of(self._server, weather)
        running = Operator(client, NAMESPACE, KEYS, _Agents(weather.draw), workers=4)
        parts = [asyncio.create_task(part) for part in parts_of(running, client, NAMESPACE)]
        dies = asyncio.create_task(weather.dead.wait())
        try:
            done, _ = await asyncio.wait([*parts, dies], return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in (*parts, dies):
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    def _tell(self, what: str) -> None:
        self.story.append(f"{asyncio.get_running_loop().time():9.3f} {what}")


async def play(seed: int) -> Life:
    """Play one schedule."""
    life = Life(seed)
    errors: list[str] = []

    def note(_: object, __: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        errors.append(f"{event['event']}: {event.get('error') or event.get('exc_info')}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.processors.format_exc_info, note],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    await life.play()
    life.judge.complaints += errors
    return life

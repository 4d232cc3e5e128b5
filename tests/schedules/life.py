"""One schedule: what users, nodes and the network do is drawn from its seed. In the end all must be as it is wanted."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, override

import structlog

from control_plane.operator.mortal import parts_of
from sandbox_common import times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeObject
from sandbox_common.reasons import SUSPENSIONS, Reason
from sandbox_common.times import parse, rfc3339
from sandbox_crds.api import API_VERSION, SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_operator.agents.agent_server import Address, AgentServers
from sandbox_operator.app import Operator
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.sandboxes.expectations import LIFETIME
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, Pod, controller_uid, decode
from schedules.api_server import NAMESPACE, ApiServer, Change
from schedules.cluster import Cluster
from schedules.session import Weather, client_of

IMAGE = "registry.example/agent-server:1"
KEYS = MasterKeys.of({1: b"m" * 32})
POOL = "warm"

_SETTLED_SECONDS = 700.0
"""Longer than any pause after failures, and than the time between two lists."""
_QUIET_SECONDS = 100.0
_LONGEST_LAG = LIFETIME - 1
"""The operator believes its own writes for so long, and then its caches, even if they lag still more."""
_MEMORY_SECONDS = 60.0
"""For so long, an operator may act on a wish that has been taken back."""


class _Agents(AgentServers):
    """Agent servers that save their work in time."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    @override
    async def prepare_for_pause(self, name: str, address: Address, key_id: str) -> None:
        await asyncio.sleep(self._draw.choice((0.0, 0.2, 3.0)))


@dataclass
class Schedule:
    """What is drawn at the beginning."""

    names: tuple[str, ...]
    persistent: bool
    service: str
    replicas: int
    operators: int
    share: float
    lag: float
    deaths: int
    steps: int

    @classmethod
    def drawn(cls, draw: random.Random) -> "Schedule":
        """A short life of one or two sandboxes."""
        return cls(
            names=draw.choice((("one",), ("one",), ("one", "two"))),
            persistent=draw.random() < 0.5,
            service=draw.choice(("None", "None", "Headless")),
            replicas=draw.choice((0, 0, 1, 2)),
            operators=draw.choice((1, 1, 1, 2)),
            share=draw.choice((0.0, 0.02, 0.1, 0.3)),
            lag=draw.choice((0.0, 0.2, 1.0, _LONGEST_LAG)),
            deaths=draw.choice((0, 1, 2, 4)),
            steps=draw.randrange(2, 9),
        )


@dataclass
class _Known:
    """What has been said about one Sandbox, by its UID."""

    key_id: str = ""
    volume_claim: str = ""
    changed: float = field(default=0.0)
    """When its users have last asked for anything."""


class Life:
    """Plays the schedule of one seed. `story` tells what has happened, and `complaints` what was wrong."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        random.seed(seed)
        self.schedule = Schedule.drawn(self._draw)
        self.story: list[str] = [f"seed {seed}: {self.schedule}"]
        self.complaints: list[str] = []
        self._server = ApiServer(times.utc_now)
        self._server.listeners.append(self._changed)
        self._cluster = Cluster(self._server, self._draw, times.utc_now)
        self._weathers: list[Weather] = []
        self._calm = asyncio.Event()
        self._known: dict[str, _Known] = {}
        self._last_write = 0.0

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
            self._judge()
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

    # What must always be so

    def _tell(self, what: str) -> None:
        self.story.append(f"{asyncio.get_running_loop().time():9.3f} {what}")

    def _complain(self, what: str) -> None:
        self._tell(f"WRONG: {what}")
        self.complaints.append(what)

    def _changed(self, change: Change) -> None:
        now = asyncio.get_running_loop().time()
        if change.plural != "sandboxusages":
            self._last_write = now
        if change.plural == "sandboxes" and change.after:
            self._sandbox_changed(change.before, change.after, now)
        elif change.plural == "pods" and change.before:
            self._pod_changed(change.before, change.after, now)
        elif change.plural == "events" and change.after and change.after["reason"] == "PodLost":
            uid, sandbox = change.name.rpartition(".")[2], change.after["regarding"]["uid"]
            # The pods of a deleted Sandbox may go before an operator sees that it is deleted.
            exists = any(item["metadata"]["uid"] == sandbox for item in self._server.all("sandboxes"))
            found = self._server.find("sandboxes", change.after["regarding"]["name"])
            told = Sandbox.model_validate(found) if found else None
            # A pod that does not end in time counts as lost with its node, and so does one whose watch is silent.
            condition = told and told.status.condition(READY)
            if condition and condition.reason == Reason.NODE_LOST:
                return
            # Each of two leaders may end a pod that the other one takes for the sandbox's.
            if exists and uid not in self._cluster.lost and self.schedule.operators == 1:
                self._complain(f"pod {uid} is said to be lost")

    def _sandbox_changed(self, before: KubeObject | None, after: KubeObject, now: float) -> None:
        known = self._known.setdefault(after["metadata"]["uid"], _Known())
        if before is None or before["spec"] != after["spec"]:
            known.changed = now
        status = Sandbox.model_validate(after).status
        told = status.condition(READY)
        self._tell(f"{after['metadata']['name']} is {told and told.reason} with pod {status.pod_uid}")
        if status.pod_name and status.key_id:
            if known.key_id and known.key_id != status.key_id:
                self._complain(f"the key of {after['metadata']['name']} has changed")
            known.key_id = status.key_id
        if told and told.status == "True":
            pod = self._server.find("pods", status.pod_name)
            if pod and pod["metadata"]["uid"] == status.pod_uid and controller_uid(pod) != after["metadata"]["uid"]:
                self._complain(f"{after['metadata']['name']} is ready with the pod of another one")
            if known.volume_claim and known.volume_claim != status.volume_claim:
                self._complain(f"the volume of {after['metadata']['name']} has changed")
            known.volume_claim = status.volume_claim

    def _pod_changed(self, before: KubeObject, after: KubeObject | None, now: float) -> None:
        """A pod that works ends only if somebody has wished it."""
        ends = after is None or "deletionTimestamp" in after["metadata"]
        uid = before["metadata"]["uid"]
        if not ends or "deletionTimestamp" in before["metadata"] or uid in self._cluster.lost:
            return
        pod = decode(before)
        for item in self._server.all("sandboxes"):
            sandbox = Sandbox.model_validate(item)
            if sandbox.metadata.uid != pod.owner_uid or sandbox.status.pod_uid != uid or sandbox.spec.suspend:
                continue
            settled = now - self._known[pod.owner_uid].changed > _MEMORY_SECONDS
            if settled and not _is_outdated(sandbox, pod):
                self._complain(f"the pod of {sandbox.metadata.name} was deleted")

    # What must be so in the end

    def _judge(self) -> None:
        if asyncio.get_running_loop().time() - self._last_write < _QUIET_SECONDS:
            self._complain("the operators do not come to rest")
        there = [item for plural in ("sandboxes", "sandboxpools", "pods") for item in self._server.all(plural)]
        owners = {item["metadata"]["uid"] for item in there}
        for item in self._server.all("sandboxes"):
            self._judge_sandbox(Sandbox.model_validate(item))
        for plural in ("pods", "secrets", "services", "persistentvolumeclaims"):
            for item in self._server.all(plural):
                if controller_uid(item) not in owners:
                    self._complain(f"{plural} {item['metadata']['name']} is left over")
        if self.schedule.replicas:
            self._judge_pool()

    def _of(self, plural: str, uid: str) -> Mapping[str, KubeObject]:
        return {item["metadata"]["name"]: item for item in self._server.all(plural) if controller_uid(item) == uid}

    def _judge_sandbox(self, sandbox: Sandbox) -> None:
        name, status, uid = sandbox.metadata.name, sandbox.status, sandbox.metadata.uid
        told, pods = status.condition(READY), self._of("pods", uid)
        if status.observed_generation != sandbox.metadata.generation:
            self._complain(f"{name} was not looked at")
        wanted = SUSPENSIONS[sandbox.spec.suspend_reason] if sandbox.spec.suspend else Reason.READY
        if told is None or told.reason != wanted:
            self._complain(f"{name} is {told and told.reason}, not {wanted}")
        if sandbox.spec.suspend:
            if pods:
                self._complain(f"{name} is suspended, and has the pods {sorted(pods)}")
            return
        if [pod["metadata"]["uid"] for pod in pods.values()] != [status.pod_uid]:
            self._complain(f"{name} has the pods {sorted(pods)}, not {status.pod_name}")
            return
        pod = decode(pods[status.pod_name])
        if _is_outdated(sandbox, pod):
            self._complain(f"{name} was not restarted")
        secret = self._server.find("secrets", status.pod_name)
        if secret is None or secret["metadata"]["annotations"].get(KEY_ID_ANNOTATION) != status.key_id:
            self._complain(f"the Secret of {name} has not its key")
        volumes = self._of("persistentvolumeclaims", uid)
        if self.schedule.persistent and not (pod.volume_claim == status.volume_claim in volumes):
            self._complain(f"{name} has the volume {pod.volume_claim}, not {status.volume_claim} of {sorted(volumes)}")
        if bool(self._of("services", uid)) != (sandbox.spec.service != "None"):
            self._complain(f"the Services of {name}: {sorted(self._of('services', uid))}")

    def _judge_pool(self) -> None:
        pool = self._server.get("sandboxpools", POOL)
        free = self._of("pods", pool["metadata"]["uid"])
        if len(free) != pool["spec"]["replicas"]:
            self._complain(f"the pool has {len(free)} pods, not {pool['spec']['replicas']}")
        for name, pod in free.items():
            if pod["status"]["phase"] != "Running":
                self._complain(f"warm pod {name} is {pod['status']['phase']}")
            wanted = ["secrets", "persistentvolumeclaims"] if self.schedule.persistent else ["secrets"]
            for plural in wanted:
                if name not in self._of(plural, pod["metadata"]["uid"]):
                    self._complain(f"warm pod {name} has not its {plural}")
        ready = pool.get("status", {}).get("readyReplicas", 0)
        if ready != len(free):
            self._complain(f"the pool is said to have {ready} pods")


def _is_outdated(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether the sandbox is to have a newer pod."""
    return bool(sandbox.spec.restarted_at) and (pod.claimed or pod.created) < parse(sandbox.spec.restarted_at)


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
    life.complaints += errors
    return life

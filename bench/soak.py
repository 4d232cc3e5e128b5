"""Hours that stand for weeks: `python -m bench.soak --help`.

Starts a control plane with simulated nodes, and two operators and two gateways. Sandboxes of all kinds come and go,
while processes are killed and frozen, the API server is restarted, nodes go, and keys and certificates are renewed.
At the end nothing may be left, and no process may have grown.

The first operator and the first gateway live from begin to end, and are measured; the second ones are killed. A frozen
operator loses its Lease, so both of them lead.
"""

import asyncio
import itertools
import math
import os
import random
import secrets
import signal
import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvloop
from aiohttp import web

from bench.agents import StubAgents
from bench.figures import percentile
from bench.plane import OWNER, Plane, plane
from bench.processes import Measured
from bench.tables import Grid, fill
from control_plane.gateway.support import add_api_key
from control_plane.waiting import eventually
from local_cluster.paths import ROOT
from local_cluster.ports import free_port
from local_cluster.progress import Progress
from local_cluster.simulated_nodes import node
from sandbox_common.kube import FAILURES, ApiError, KubeObject, Resource
from sandbox_common.kube.resources import (
    NODES,
    PODS,
    SANDBOX_CLASSES,
    SANDBOX_POOLS,
    SANDBOXES,
    SECRETS,
    SERVICES,
    VOLUME_CLAIMS,
)
from sandbox_crds.api import API_KEY_LABEL, MANAGED_BY_LABEL, MANAGER
from unit.sandbox_gateway.mounted_tls import MountedSecret, Pair

NAME = "a soak"
KEPT = "kept"
IMAGE = "registry.example/agent-server:1"
POOL = 4
_IDLE_SECONDS = 45
_LIFE_SECONDS = 30
_FROZEN_SECONDS = 12.0
"""Longer than a lease."""
_PATIENCE = 180.0
"""Seconds that a step of a life may take while processes are killed."""
_SAMPLE_SECONDS = 15.0
_SETTLE_SECONDS = 75.0
"""Longer than between two searches for garbage at rest."""
_DESCRIPTORS = 8
"""So many more open files may a process have at the end; connections to the API server are pooled."""
_HOST_PATHS = "--enable-hostpath-provisioner"
_STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)


class IdleAgents(StubAgents):
    """Agent servers that have had nothing to do for long."""

    async def _info(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        return web.json_response({"uptime": 86_400.0, "idle_time": 86_400.0})


@dataclass
class Sample:
    """One look at a process: minutes since the begin, resident memory in MiB, open files."""

    minute: float
    memory: float
    files: int


@dataclass
class Course:
    """What has happened."""

    lives: Counter[str] = field(default_factory=Counter[str])
    troubles: Counter[str] = field(default_factory=Counter[str])
    failed: list[str] = field(default_factory=list[str])
    starts: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When a start through the gateway began, and the seconds until it was ready."""
    samples: dict[str, list[Sample]] = field(default_factory=dict[str, list[Sample]])


def growth(samples: Sequence[Sample], since: float) -> float:
    """Percent an hour by which memory grows from this minute on: a line through the samples. NaN for fewer than two."""
    later = [sample for sample in samples if sample.minute >= since]
    if len(later) < 2:
        return math.nan
    line = statistics.linear_regression([s.minute for s in later], [s.memory for s in later])
    return 100 * line.slope * 60 / later[0].memory


def quarters(starts: Sequence[tuple[float, float]], end: float) -> tuple[list[float], list[float]]:
    """The seconds of starts that began in the first quarter, and in the last one."""
    return [took for at, took in starts if at < end / 4], [took for at, took in starts if at >= end * 3 / 4]


class Gateways:
    """Both gateways, as clients behind a load balancer use them: what one does not answer is sent to the other."""

    def __init__(self, here: Plane, tls: MountedSecret) -> None:
        self._here = here
        self._tls = tls
        self.ports = [(free_port(), free_port()) for _ in range(2)]
        """Of clients, and of probes."""
        self.processes: list[Measured] = []
        self.key = here.api_key
        # The certificate changes meanwhile; tests/control_plane/gateway/test_tls.py checks which one is shown.
        self.http = aiohttp.ClientSession(
            trust_env=False,
            connector=aiohttp.TCPConnector(limit=0, ssl=False),
            timeout=aiohttp.ClientTimeout(total=30),
        )

    async def start(self, index: int) -> Measured:
        """Start one, and return when it is ready."""
        port, probes = self.ports[index]
        process = await Measured.start(
            "sandbox-gateway",
            probes,
            self._here.logs / f"gateway-{index}.log",
            *self._here.common(),
            f"--listen-port={port}",
            f"--tls-dir={self._tls.path}",
        )
        await process.ready()
        return process

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
        """The JSON of an answer of 200. Raises RuntimeError for another one that repeating cannot mend."""
        async with asyncio.timeout(_PATIENCE):
            for turn in itertools.count(secrets.randbelow(2)):
                url = f"https://127.0.0.1:{self.ports[turn % 2][0]}{path}"
                sent = headers or {"X-API-Key": self.key}
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with self.http.request(method, url, headers=sent, json=body or None) as answer:
                        if answer.status == 200:
                            return await answer.json()
                        if answer.status not in {429, 502, 503, 504}:
                            raise RuntimeError(f"{method} {path} answers {answer.status}: {await answer.text()}")
                await asyncio.sleep(0.3)
        raise AssertionError

    async def until_ready(self, session_id: str) -> KubeObject:
        """The session once its sandbox is ready."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                found = await self.ask("GET", f"/sessions/{session_id}")
                if found["pod_status"] == "ready":
                    return found
                await asyncio.sleep(0.2)

    async def visit(self, session: KubeObject) -> None:
        """A request to the sandbox; it wakes an idle one."""
        await self.ask("GET", "/server_info", {"X-Session-API-Key": session["session_api_key"]})


class Lives:
    """Sandboxes of all kinds, each from its start to its end."""

    def __init__(self, here: Plane, gateways: Gateways, course: Course, began: float) -> None:
        self._here = here
        self._gateways = gateways
        self._course = course
        self._began = began
        self.kinds: dict[str, Callable[[str], Awaitable[None]]] = {
            "cold": self._cold,
            "warm": self._warm,
            "paused": self._paused,
            "idle": self._idle,
            "expiring": self._expiring,
            "lost": self._lost,
        }

    async def live(self, kind: str, number: int) -> None:
        """One life of this kind; what goes wrong is noted."""
        try:
            await self.kinds[kind](f"{kind}-{number}")
        except (RuntimeError, TimeoutError, AssertionError, *FAILURES) as error:
            self._course.failed.append(f"{kind}-{number}: {error!r}")
        else:
            self._course.lives[kind] += 1

    async def _start(self, session_id: str, **more: Any) -> KubeObject:
        began = time.monotonic()
        body: dict[str, Any] = {"image": IMAGE, "command": self._here.agents.command, "session_id": session_id, **more}
        await self._gateways.ask("POST", "/start", **body)
        session = await self._gateways.until_ready(session_id)
        self._course.starts.append((began - self._began, time.monotonic() - began))
        return session

    async def _stop(self, session: KubeObject) -> None:
        with suppress(RuntimeError):  # repeated after a lost answer, it is gone
            await self._gateways.ask("POST", "/stop", runtime_id=session["runtime_id"])

    async def _cold(self, session_id: str) -> None:
        session = await self._start(session_id, environment={"TOKEN": secrets.token_hex(8)})
        await self._gateways.visit(session)
        await self._stop(session)

    async def _warm(self, session_id: str) -> None:
        session = await self._start(session_id)
        await self._gateways.visit(session)
        await self._stop(session)

    async def _paused(self, session_id: str) -> None:
        session = await self._apply(session_id)
        for action in ("pause", "resume"):
            await self._gateways.ask("POST", f"/{action}", runtime_id=session["runtime_id"])
        again = await self._gateways.until_ready(session_id)
        assert again["session_api_key"] == session["session_api_key"], "another key"
        await self._gateways.visit(again)
        await self._stop(again)

    async def _idle(self, session_id: str) -> None:
        session = await self._apply(session_id, idleTimeoutSeconds=_IDLE_SECONDS)

        async def is_asleep() -> bool:
            spec = (await self._here.client.get(SANDBOXES, self._here.namespace, session_id))["spec"]
            return spec["suspend"] and spec["suspendReason"] == "Idle"

        await eventually(is_asleep, timeout=_PATIENCE)
        await self._gateways.visit(session)
        await self._stop(session)

    async def _expiring(self, session_id: str) -> None:
        await self._apply(session_id, maximumLifeSeconds=_LIFE_SECONDS)

        async def is_gone() -> bool:
            return await self._here.client.find(SANDBOXES, self._here.namespace, session_id) is None

        await eventually(is_gone, timeout=_PATIENCE)

    async def _lost(self, session_id: str) -> None:
        session = await self._apply(session_id)
        await self._gateways.visit(session)
        status = (await self._here.client.get(SANDBOXES, self._here.namespace, session_id))["status"]
        await self._here.client.delete(PODS, self._here.namespace, status["podName"])

        async def is_another() -> bool:
            now = (await self._here.client.get(SANDBOXES, self._here.namespace, session_id))["status"]
            return now.get("podUID", "") not in {"", status["podUID"]}

        await eventually(is_another, timeout=_PATIENCE)
        await self._gateways.visit(await self._gateways.until_ready(session_id))
        await self._stop(session)

    async def _apply(self, session_id: str, **spec: Any) -> KubeObject:
        """As kubectl makes it, of a class with volumes; the session once it is ready."""
        body: KubeObject = {
            "apiVersion": SANDBOXES.api_version,
            "kind": SANDBOXES.kind,
            "metadata": {"name": session_id},
        }
        body["spec"] = {"image": IMAGE, "command": self._here.agents.command, "className": KEPT, **spec}
        body["spec"] |= {"owner": OWNER, "sessionID": session_id}

        async def make() -> bool:
            try:
                await self._here.client.create(SANDBOXES, self._here.namespace, body)
            except ApiError as error:
                return error.reason == "AlreadyExists"
            except FAILURES:
                return False
            return True

        await eventually(make, timeout=_PATIENCE)
        return await self._gateways.until_ready(session_id)


class Troubles:
    """What happens to processes, nodes, keys and certificates meanwhile."""

    def __init__(self, here: Plane, operators: list[Measured], gateways: Gateways, tls: MountedSecret) -> None:
        self._here = here
        self._operators = operators
        self._gateways = gateways
        self._tls = tls
        self._nodes = itertools.count()
        self.kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "operator killed": self._kill_operator,
            "operator frozen": self._freeze_operator,
            "gateway killed": self._kill_gateway,
            "gateway restarted": self._restart_gateway,
            "API server restarted": self._restart_server,
            "node gone": self._lose_node,
            "API key rotated": self._rotate_key,
            "certificate renewed": self._renew_certificate,
        }

    async def _kill_operator(self) -> None:
        await self._operators[1].kill()
        self._operators[1] = await operator(self._here, self._gateways, 1)

    async def _freeze_operator(self) -> None:
        process = self._operators[0]
        os.kill(process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(_FROZEN_SECONDS)
        finally:
            os.kill(process.pid, signal.SIGCONT)

    async def _kill_gateway(self) -> None:
        await self._gateways.processes[1].kill()
        self._gateways.processes[1] = await self._gateways.start(1)

    async def _restart_gateway(self) -> None:
        await self._gateways.processes[1].stop()
        self._gateways.processes[1] = await self._gateways.start(1)

    async def _restart_server(self) -> None:
        await asyncio.to_thread(self._here.control_plane.restart_server)

    async def _lose_node(self) -> None:
        """A node is deleted with all that runs there; a new one comes."""
        client = self._here.client
        number = next(self._nodes)
        await client.create(NODES, "", node(f"late-{number}", "bench", cpu="100k", memory="1Pi", pods=2500))
        names = sorted(item["metadata"]["name"] for item in (await client.list(NODES, ""))["items"])
        await client.delete(NODES, "", names[0] if number == 0 else names[number % len(names)])

    async def _rotate_key(self) -> None:
        client, namespace = self._here.client, self._here.namespace
        old = await client.list(SECRETS, namespace, labelSelector=f"{API_KEY_LABEL}=true")
        key = secrets.token_hex(16)
        await add_api_key(client, namespace, key, OWNER)

        async def is_known() -> bool:
            answers = [await self._status(port, key) for port, _ in self._gateways.ports]
            return all(answer == 200 for answer in answers)

        await eventually(is_known, timeout=_PATIENCE)
        self._gateways.key = key
        # Requests under way still have the old one.
        await asyncio.sleep(_PATIENCE / 4)
        for item in old["items"]:
            await client.delete(SECRETS, namespace, item["metadata"]["name"])

    async def _status(self, port: int, key: str) -> int:
        try:
            async with self._gateways.http.get(f"https://127.0.0.1:{port}/list", headers={"X-API-Key": key}) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def _renew_certificate(self) -> None:
        store(self._tls, self._here.logs)


def store(tls: MountedSecret, directory: Path) -> None:
    """A new certificate into the mounted Secret."""
    pair = Pair.make(directory)
    tls.store(pair.certificate, pair.key)


async def operator(here: Plane, gateways: Gateways, index: int) -> Measured:
    """Start an operator, and return when it is ready."""
    peers = ",".join(f"127.0.0.1:{probes}" for _, probes in gateways.ports)
    process = await Measured.start(
        "sandbox-operator",
        free_port(),
        here.logs / f"operator-{index}.log",
        *here.common(),
        f"--gateway-peers={peers}",
    )
    await process.ready()
    return process


async def prepare(here: Plane) -> None:
    """The class with volumes, its storage, and a pool for starts without an environment."""
    client, namespace = here.client, here.namespace
    await client.create(
        _STORAGE_CLASSES,
        "",
        {
            "metadata": {
                "name": "host-path",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/host-path",
        },
    )
    kept = {"workspace": {"persistent": True, "size": "1Mi"}, "idleTimeoutSeconds": 86_400}
    for resource, name, spec in (
        (SANDBOX_CLASSES, KEPT, kept),
        (SANDBOX_POOLS, "pool", {"image": IMAGE, "command": here.agents.command, "replicas": POOL}),
    ):
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}
        await client.create(resource, namespace, body)


async def left(here: Plane) -> list[str]:
    """What is there although no sandbox is, besides the pool."""
    client, namespace = here.client, here.namespace
    found: list[str] = []
    ours = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGER}"}
    for resource, wanted, where in (
        (SANDBOXES, 0, {}),
        (PODS, POOL, {}),
        (SECRETS, POOL, ours),
        (SERVICES, 0, {}),
        (VOLUME_CLAIMS, 0, {}),
        (_VOLUMES, 0, {}),
    ):
        items = (await client.list(resource, namespace if resource.namespaced else "", **where))["items"]
        if len(items) != wanted:
            names = ", ".join(item["metadata"]["name"] for item in items[:10])
            found.append(f"{len(items)} {resource.plural} instead of {wanted}: {names}")
    return found


async def views(here: Plane, gateways: Gateways, operators: Sequence[Measured]) -> list[str]:
    """Where a cache differs from the API server, which has no sandboxes, and the pool's pods."""
    wrong: list[str] = []
    for index, (port, _) in enumerate(gateways.ports):
        url, headers = f"https://127.0.0.1:{port}/list", {"X-API-Key": gateways.key}
        async with gateways.http.get(url, headers=headers) as answer:
            listed = (await answer.json())["runtimes"]
        if listed:
            wrong.append(f"gateway {index} lists {len(listed)} sandboxes")
    for index, process in enumerate(operators):
        async with gateways.http.get(f"http://127.0.0.1:{process.health_port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
        pods = values["openhands_sandbox_operator_pods"]
        sandboxes = sum(v for name, v in values.items() if name.startswith("openhands_sandbox_operator_sandboxes{"))
        if (pods, sandboxes) != (POOL, 0):
            wrong.append(f"operator {index} knows {pods:.0f} pods and {sandboxes:.0f} sandboxes")
    return wrong


async def _every(seconds: float, until: float) -> AsyncGenerator[float]:
    """The moments of a beat, late ones skipped, until then."""
    due = time.monotonic()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield due
        due = max(due + seconds, time.monotonic())


@asynccontextmanager
async def _running(here: Plane, tls: MountedSecret) -> AsyncGenerator[tuple[list[Measured], Gateways]]:
    async with AsyncExitStack() as stack:
        gateways = Gateways(here, tls)
        stack.push_async_callback(gateways.http.close)
        operators: list[Measured] = []
        stack.push_async_callback(lambda: _stop(operators, gateways.processes))
        gateways.processes += [await gateways.start(index) for index in range(2)]
        operators += [await operator(here, gateways, index) for index in range(2)]
        yield operators, gateways


async def _stop(*groups: Sequence[Measured]) -> None:
    await asyncio.gather(*(process.stop() for group in groups for process in group))


async def soak(minutes: float, rate: float, trouble_seconds: float, draw: random.Random) -> tuple[Course, list[str]]:
    """So many lives a minute, and a trouble every so many seconds. What happened, and what must not be."""
    course = Course()
    wrong: list[str] = []
    async with plane(Progress(), IdleAgents, manager_flags=[_HOST_PATHS]) as here:
        await prepare(here)
        tls = MountedSecret(here.logs / "tls")
        store(tls, here.logs)
        async with _running(here, tls) as (operators, gateways):
            began = time.monotonic()
            end = began + minutes * 60
            lives, troubles = Lives(here, gateways, course, began), Troubles(here, operators, gateways, tls)
            steady = {"operator": operators[0], "gateway": gateways.processes[0]}

            async def sample() -> None:
                async for now in _every(_SAMPLE_SECONDS, math.inf):
                    look(course, steady, (now - began) / 60)

            async def trouble() -> None:
                async for _ in _every(trouble_seconds, end):
                    kind = draw.choice(list(troubles.kinds))
                    await troubles.kinds[kind]()
                    course.troubles[kind] += 1
                    print(
                        f"{(time.monotonic() - began) / 60:6.1f} min  {kind}; {course.lives.total()} lives", flush=True
                    )

            sampling = asyncio.create_task(sample())
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(trouble())
                    numbers = itertools.count()
                    async for _ in _every(60 / rate, end):
                        group.create_task(lives.live(draw.choice(list(lives.kinds)), next(numbers)))
                wrong += [f"failed: {failure}" for failure in course.failed]

                async def is_clean() -> bool:
                    return not await left(here)

                with suppress(TimeoutError):
                    await eventually(is_clean, timeout=_PATIENCE)
                await asyncio.sleep(_SETTLE_SECONDS)
            finally:
                sampling.cancel()
            wrong += [*await left(here), *await views(here, gateways, operators)]
            for name, samples in course.samples.items():
                if (more := samples[-1].files - min(s.files for s in samples[:4])) > _DESCRIPTORS:
                    wrong.append(f"the {name} has {more} more open files than at the begin")
    return course, wrong


def look(course: Course, processes: dict[str, Measured], minute: float) -> None:
    """Sample these processes."""
    for name, process in processes.items():
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        course.samples.setdefault(name, []).append(Sample(minute, process.usage().rss, files))


def rows(course: Course, minutes: float) -> list[list[str]]:
    """What a reader asks for."""
    first, last = quarters(course.starts, minutes * 60)
    troubles = ", ".join(f"{count} {kind}" for kind, count in sorted(course.troubles.items()))
    return [
        ["lives", f"{course.lives.total()} in {minutes:.0f} min: {dict(sorted(course.lives.items()))}"],
        ["troubles", troubles],
        ["start p50, first and last quarter", f"{percentile(first, 0.5):.2f} s, {percentile(last, 0.5):.2f} s"],
        ["start p90, first and last quarter", f"{percentile(first, 0.9):.2f} s, {percentile(last, 0.9):.2f} s"],
        *(
            [
                f"memory of the {name}",
                f"{samples[0].memory:.0f} MiB at first, {samples[-1].memory:.0f} MiB at last; "
                f"{growth(samples, minutes / 2):+.1f} % an hour in the second half",
            ]
            for name, samples in course.samples.items()
        ),
        *(
            [f"open files of the {name}", f"{samples[0].files} at first, {samples[-1].files} at last"]
            for name, samples in course.samples.items()
        ),
    ]


def main(
    minutes: Annotated[float, typer.Option(help="How long sandboxes come.")] = 120.0,
    rate: Annotated[float, typer.Option(help="Lives a minute.")] = 20.0,
    trouble_seconds: Annotated[float, typer.Option(help="Between two troubles.")] = 45.0,
    seed: Annotated[int | None, typer.Option(help="Draws lives and troubles. Default: another one each time.")] = None,
    page: Annotated[Path, typer.Option(help="The page whose table is renewed.")] = ROOT / "docs" / "measurements.md",
) -> None:
    """Lives of all kinds under all kinds of trouble; fails if anything is left, or any life went wrong."""
    chosen = secrets.randbelow(2**32) if seed is None else seed
    print(f"--seed={chosen}", flush=True)
    course, wrong = uvloop.run(soak(minutes, rate, trouble_seconds, random.Random(chosen)))
    table = Grid("A soak", ["", ""], rows(course, minutes))
    table.show()
    for what in wrong:
        print(f"WRONG: {what}", flush=True)
    if wrong:
        raise typer.Exit(1)
    fill(page, NAME, table)


if __name__ == "__main__":
    typer.run(main)

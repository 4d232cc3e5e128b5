"""A soak from its beginning to its end: a control plane with simulated nodes, two operators and two gateways."""

import asyncio
import itertools
import math
import random
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from bench.agents import StubAgents
from bench.plane import Plane, plane
from bench.processes import Measured
from bench.soak.course import Course, Sample, faults
from bench.soak.gateways import Gateways
from bench.soak.lives import IMAGE, KEPT, Lives
from bench.soak.patience import persist
from bench.soak.remains import POOL, remains, views
from bench.soak.residents import residents
from bench.soak.troubles import Troubles, links, operator
from control_plane.cluster_scope import STORAGE_CLASSES
from local_cluster.progress import Progress
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOX_POOLS

_SAMPLE_SECONDS = 15.0
_SETTLE_SECONDS = 75.0
"""Longer than between two searches for garbage at rest."""
_HOST_PATHS = "--enable-hostpath-provisioner"


class IdleAgents(StubAgents):
    """Agent servers that have had nothing to do for long."""

    async def _info(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        return web.json_response({"uptime": 86_400.0, "idle_time": 86_400.0})


async def soak(
    minutes: float, rate: float, trouble_seconds: float, draw: random.Random, progress: Progress
) -> tuple[Course, list[str]]:
    """`rate` lives a minute, and a trouble every `trouble_seconds`. What happened, and what must not be."""
    course = Course()
    wrong: list[str] = []
    async with (
        plane(progress, IdleAgents, manager_flags=[_HOST_PATHS]) as here,
        links(here) as ways,
        _running(here, (ways[0][1], ways[1][1])) as (operators, gateways),
    ):
        await _prepare(here)
        began = time.monotonic()
        lives = Lives(here, gateways, course, began)
        troubles = Troubles(here, operators, gateways, [way for way, _ in ways], draw)
        steady = {"operator": operators[0], "gateway": gateways.processes[0]}
        beside = [asyncio.create_task(_sample(course, steady, began)), asyncio.create_task(_revive(here, course))]
        try:
            async with residents(here, gateways, course, progress) as everyone:
                await _stir(lives, troubles, course, rate, trouble_seconds, began + minutes * 60, draw)
                wrong += await _settled(here, len(everyone))
                wrong += await views(here, gateways, operators)
            await asyncio.gather(*(gateways.stop(resident.name) for resident in everyone))
            wrong += await _settled(here, 0)
            await asyncio.sleep(_SETTLE_SECONDS)
            wrong += await remains(here, 0)
            wrong += await views(here, gateways, operators)
        finally:
            for task in beside:
                task.cancel()
        _look(course, steady, began)
    return course, [*wrong, *faults(course, minutes)]


async def _stir(
    lives: Lives,
    troubles: Troubles,
    course: Course,
    rate: float,
    trouble_seconds: float,
    end: float,
    draw: random.Random,
) -> None:
    """Lives and troubles until then, and until the last of them is over."""
    began = time.monotonic()

    async def trouble() -> None:
        kinds = troubles.drawn()
        async for _ in _every(trouble_seconds, end):
            kind = next(kinds)
            await troubles.kinds[kind]()
            course.troubles[kind] += 1
            minute = (time.monotonic() - began) / 60
            print(f"{minute:6.1f} min  {kind}; {course.lives.total()} lives, {len(course.failed)} failed", flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(trouble())
        numbers = itertools.count()
        async for _ in _every(60 / rate, end):
            group.create_task(lives.live(draw.choice(list(lives.kinds)), next(numbers)))


async def _settled(here: Plane, sandboxes: int) -> list[str]:
    """What is still not as it must be after a while."""

    async def is_clean() -> bool:
        return not await remains(here, sandboxes)

    with suppress(TimeoutError):
        await persist(is_clean)
    return await remains(here, sandboxes)


async def _prepare(here: Plane) -> None:
    """The class with volumes, its storage, and a pool for starts without an environment."""
    client, namespace = here.client, here.namespace
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage = {"metadata": {"name": "host-path", "annotations": annotations}, "provisioner": "kubernetes.io/host-path"}
    await client.create(STORAGE_CLASSES, "", storage)
    kept = {"workspace": {"persistent": True, "size": "1Mi"}, "idleTimeoutSeconds": 86_400}
    for resource, name, spec in (
        (SANDBOX_CLASSES, KEPT, kept),
        (SANDBOX_POOLS, "pool", {"image": IMAGE, "command": here.agents.command, "replicas": POOL}),
    ):
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec}
        await client.create(resource, namespace, body)


@asynccontextmanager
async def _running(here: Plane, kubeconfigs: tuple[Path, Path]) -> AsyncGenerator[tuple[list[Measured], Gateways]]:
    """Two operators and two gateways; the first of each go these ways to the API server."""
    direct = here.control_plane.kubeconfig
    async with AsyncExitStack() as stack:
        gateways = Gateways(here, (kubeconfigs[1], direct))
        stack.push_async_callback(gateways.http.close)
        operators: list[Measured] = []

        async def stop() -> None:
            await asyncio.gather(*(process.stop() for process in [*operators, *gateways.processes]))

        stack.push_async_callback(stop)
        gateways.processes += [await gateways.start(index) for index in range(2)]
        operators += [await operator(here, gateways, index, way) for index, way in enumerate((kubeconfigs[0], direct))]
        yield operators, gateways


async def _sample(course: Course, processes: dict[str, Measured], began: float) -> None:
    async for _ in _every(_SAMPLE_SECONDS, math.inf):
        _look(course, processes, began)


async def _revive(here: Plane, course: Course) -> None:
    """Do what a kubelet does for the controllers of a control plane."""
    async for _ in _every(1.0, math.inf):
        course.troubles.update(f"{name} ended" for name in here.control_plane.revive_controllers())


def _look(course: Course, processes: dict[str, Measured], began: float) -> None:
    """Sample these processes."""
    minute = (time.monotonic() - began) / 60
    for name, process in processes.items():
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        course.samples.setdefault(name, []).append(Sample(minute, process.usage().rss, files))


async def _every(seconds: float, until: float) -> AsyncGenerator[float]:
    """The moments of a beat, late ones skipped, until then."""
    due = time.monotonic()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield due
        due = max(due + seconds, time.monotonic())

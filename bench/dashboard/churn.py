"""What happens during the run: phases of the same length, each with an event at its beginning."""

import json
import random
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

import aiohttp

from bench.bare_pods import SMALL
from bench.crowd import side_by_side
from bench.dashboard.clients import BASE_DOMAIN, Clients
from bench.ours import COLD_IMAGE, WARM_IMAGE, Sandboxes
from bench.plane import Plane
from bench.processes import Measured
from control_plane.gateway.support import add_api_key
from local_cluster.ports import free_port
from sandbox_common.kube import KubeObject
from sandbox_common.kube.resources import PODS
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_operator.watching.pods import CLAIMED_ANNOTATION

MISSING_IMAGE = "registry.example/openhands/agent-server:no-such-tag"

_LIMITS = {"limits": {"running": 4}}
_LEADS = "openhands_sandbox_operator_leader 1.0"


class Churn:
    """The processes, the clients, and what is done to them."""

    def __init__(self, plane: Plane, operators: Mapping[str, Measured], gateway: Measured) -> None:
        self._plane = plane
        self._operators = dict(operators)
        self._gateway = gateway
        self._pools = Sandboxes(plane)
        self._choose = random.Random(1)
        self.clients: Clients
        self._limited: Clients

    @classmethod
    @asynccontextmanager
    async def on(cls, plane: Plane) -> AsyncGenerator[Self]:
        """Two operators and a gateway, all ready; clients of two owners, of whom one has limits."""
        planes = [plane, replace(plane, operator_port=free_port())]
        operators = {f"operator-{number}": await one.operator() for number, one in enumerate(planes, 1)}
        churn = cls(plane, operators, await plane.gateway(f"--base-domain={BASE_DOMAIN}"))
        limited_key = secrets.token_hex(16)
        await add_api_key(plane.client, plane.namespace, limited_key, "limited", policy=json.dumps(_LIMITS))
        try:
            for process in churn._processes().values():
                await process.ready()
            async with (
                Clients.of(plane, plane.api_key, churn._choose) as churn.clients,
                Clients.of(plane, limited_key, churn._choose) as churn._limited,
            ):
                yield churn
        finally:
            for process in churn._processes().values():
                await process.stop()

    def targets(self) -> dict[str, dict[str, str]]:
        """Addresses for Prometheus, with the labels that a PodMonitor gives."""
        namespace = self._plane.namespace
        return {
            f"127.0.0.1:{process.health_port}": {"namespace": namespace, "pod": name}
            for name, process in self._processes().items()
        }

    def _processes(self) -> dict[str, Measured]:
        return {**self._operators, "gateway-1": self._gateway}

    async def fill_a_pool(self) -> None:
        """Make it; do not wait until it is filled."""
        await self._pools.set_pool("python", WARM_IMAGE, 6)

    async def start_many(self) -> None:
        """More than the pool has pods."""
        for number in range(20):
            self.clients.begin(WARM_IMAGE if number % 2 else COLD_IMAGE)

    async def reach_a_limit(self) -> None:
        """More than may run and wait."""
        for _ in range(12):
            self._limited.begin(COLD_IMAGE)

    async def break_something(self) -> None:
        """Starts, refills, requests and an object fail."""
        self.clients.broken = True
        for _ in range(8):
            self.clients.begin(MISSING_IMAGE)
        await self._pools.set_pool("missing", MISSING_IMAGE, 2)
        labels, annotations = {SANDBOX_LABEL: "nobody"}, {CLAIMED_ANNOTATION: "yesterday"}
        metadata = {"name": "malformed", "labels": labels, "annotations": annotations}
        body: KubeObject = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": SMALL}
        await self._plane.client.create(PODS, self._plane.namespace, body)

    async def kill_the_leader(self) -> None:
        """Raises RuntimeError if no operator leads."""
        self.clients.broken = False
        await self._pools.set_pool("missing", MISSING_IMAGE, 0)
        for name, process in self._operators.items():
            if await _leads(process):
                await process.kill()
                beside = replace(self._plane, operator_port=process.health_port)
                self._operators[name] = await beside.operator()
                return
        raise RuntimeError("no operator leads; read the logs of the operators")

    async def lose_pods(self) -> None:
        """Pods of sandboxes, and none of the pool's free ones."""
        selector = f"{SANDBOX_LABEL},{SANDBOX_LABEL}!="
        found = await self._plane.client.list(PODS, self._plane.namespace, labelSelector=selector)
        names = [pod["metadata"]["name"] for pod in found["items"]]

        async def delete(name: str) -> None:
            await self._plane.client.delete(PODS, self._plane.namespace, name)

        await side_by_side(delete, self._choose.sample(names, min(10, len(names))))
        await self._pools.set_pool("python", WARM_IMAGE, 10)

    async def nothing(self) -> None:
        """Go on."""


async def _leads(process: Measured) -> bool:
    url = f"http://127.0.0.1:{process.health_port}/metrics"
    async with aiohttp.ClientSession(trust_env=False) as session, session.get(url) as response:
        return _LEADS in await response.text()


@dataclass(frozen=True, slots=True)
class Phase:
    """`what` happens at its beginning, and then clients come at this rate."""

    what: str
    happens: Callable[[Churn], Awaitable[None]]
    per_minute: float


PHASES = (
    Phase("A pool of 6 warm pods is made, and clients begin to come.", Churn.fill_a_pool, 12),
    Phase("20 clients come at once, half of them for the pool's image.", Churn.start_many, 12),
    Phase("12 clients of an owner with the limit running=4 come. 4 wait, and 4 are refused.", Churn.reach_a_limit, 12),
    Phase(
        "8 clients want an image that does not exist, and a second pool has this image. Some requests fail in their "
        "sandboxes, and some clients do not wait for answers. A malformed pod is made.",
        Churn.break_something,
        12,
    ),
    Phase("The leader is killed, and started again. What was wrong is repaired.", Churn.kill_the_leader, 12),
    Phase("10 pods are deleted by hand. The pool is scaled to 10.", Churn.lose_pods, 12),
    Phase("No more clients come.", Churn.nothing, 0),
)

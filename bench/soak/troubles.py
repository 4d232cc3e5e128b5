"""What happens to processes, connections, nodes, keys and certificates in a soak."""

import asyncio
import itertools
import os
import random
import secrets
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.plane import OWNER, Plane
from bench.processes import Measured
from bench.soak.gateways import REQUEST_SECONDS, Gateways
from bench.soak.patience import persist
from control_plane.gateway.support import add_api_key
from control_plane.link import Link, linked
from local_cluster.ports import free_port
from local_cluster.simulated_nodes import node
from sandbox_common.kube.resources import NODES, SECRETS
from sandbox_crds.api import API_KEY_LABEL

_LOST_SECONDS = 12.0
"""For so long is a process frozen or a connection cut: longer than a lease."""


@asynccontextmanager
async def links(here: Plane) -> AsyncGenerator[list[tuple[Link, Path]]]:
    """Two ways to the API server that can be cut, each with its kubeconfig."""
    async with (
        linked(here.control_plane, here.logs, "127.0.0.2") as first,
        linked(here.control_plane, here.logs, "127.0.0.3") as second,
    ):
        yield [first, second]


async def operator(here: Plane, gateways: Gateways, index: int, kubeconfig: Path) -> Measured:
    """Start an operator, and return when it is ready."""
    peers = ",".join(f"127.0.0.1:{probes}" for _, probes in gateways.ports)
    process = await Measured.start(
        "sandbox-operator",
        free_port(),
        here.logs / f"operator-{index}.log",
        *here.common(kubeconfig),
        f"--gateway-peers={peers}",
    )
    await process.ready()
    return process


class Troubles:
    """The first operator and the first gateway are measured: they lose connections, time and Leases, but live on.

    The second ones are killed. `ways` are those of the first operator and the first gateway to the API server.
    """

    def __init__(
        self, here: Plane, operators: list[Measured], gateways: Gateways, ways: Sequence[Link], draw: random.Random
    ) -> None:
        self._here = here
        self._operators = operators
        self._gateways = gateways
        self._ways = ways
        self._draw = draw
        self._nodes = itertools.count()
        self.kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "operator killed": self._kill_operator,
            "operator frozen": lambda: self._freeze(self._operators[0]),
            "operator cut off": lambda: self._cut(self._ways[0]),
            "gateway killed": self._kill_gateway,
            "gateway restarted": self._restart_gateway,
            "gateway frozen": lambda: self._freeze(self._gateways.processes[0]),
            "gateway cut off": lambda: self._cut(self._ways[1]),
            "API server restarted": self._restart_server,
            "node gone": self._lose_node,
            "API key rotated": self._rotate_key,
            "certificate renewed": self._renew_certificate,
        }

    def drawn(self) -> Iterator[str]:
        """Kinds without an end. Each comes once before any comes again, so no part of a run has easier ones."""
        while True:
            yield from self._draw.sample(list(self.kinds), len(self.kinds))

    async def _kill_operator(self) -> None:
        await self._operators[1].kill()
        self._operators[1] = await operator(self._here, self._gateways, 1, self._here.control_plane.kubeconfig)

    async def _freeze(self, process: Measured) -> None:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(_LOST_SECONDS)
        finally:
            os.kill(process.pid, signal.SIGCONT)

    async def _cut(self, way: Link) -> None:
        way.cut()
        await asyncio.sleep(_LOST_SECONDS)
        way.mend()

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
        await client.delete(NODES, "", self._draw.choice(names))

    async def _rotate_key(self) -> None:
        client, namespace = self._here.client, self._here.namespace
        old = await client.list(SECRETS, namespace, labelSelector=f"{API_KEY_LABEL}=true")
        key = secrets.token_hex(16)
        await add_api_key(client, namespace, key, OWNER)

        async def is_known() -> bool:
            return [await self._gateways.status(index, key) for index in range(2)] == [200, 200]

        await persist(is_known)
        self._gateways.key = key
        # Requests under way still have the old one.
        await asyncio.sleep(REQUEST_SECONDS)
        for item in old["items"]:
            await client.delete(SECRETS, namespace, item["metadata"]["name"])

    async def _renew_certificate(self) -> None:
        self._gateways.renew_certificate()

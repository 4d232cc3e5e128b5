"""Puts together the operator's process."""

import asyncio
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import structlog

from sandbox_common import collector
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import Informer, KubeClient
from sandbox_common.kube.startup import until_known
from sandbox_common.pod_identity import PodIdentities
from sandbox_common.reasons import Reason
from sandbox_common.spans import Tracing, tracing_from_environment
from sandbox_operator.agents.agent_server import AgentServers
from sandbox_operator.caches import Caches
from sandbox_operator.idle.check import Gateways
from sandbox_operator.idle.gateways import GatewayReplicas, parse_peers
from sandbox_operator.leader.elector import Elector
from sandbox_operator.process import health, metrics
from sandbox_operator.settings import Settings
from sandbox_operator.term import Term
from sandbox_operator.watching import glue
from sandbox_operator.watching.store import Sweeper

USER_AGENT = "sandbox-operator"

_STUCK_SECONDS = 300.0
"""A watch gets an event each minute, or fails. After five minutes without either, a restart may help."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Operator:
    """Keeps caches filled, and works in the terms in which this process leads.

    Create it inside the event loop. The caches use `client`.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        keys: MasterKeys,
        agents: AgentServers,
        gateways: Gateways | None = None,
        workers: int = 32,
        *,
        read_nodes: bool = False,
        pause_image: str = "",
        tracing: Tracing | None = None,
    ) -> None:
        self.caches = Caches(client, namespace, read_nodes=read_nodes)
        self._namespace = namespace
        self._keys = keys
        self._agents = agents
        self._gateways = gateways
        self._workers = workers
        self._pause_image = pause_image
        self._tracing = tracing

    async def lead(self, client: KubeClient) -> None:
        """Work for one term, until cancelled. All writes use `client`."""
        await self.caches.wait_synced()
        term = Term(
            self.caches,
            client,
            self._namespace,
            self._keys,
            self._agents,
            self._gateways,
            self._pause_image,
            self._tracing,
        )
        metrics.QUEUE_DEPTH.set_function(term.queue.__len__)
        metrics.HELD_BACK.set_function(lambda: term.held_back)
        try:
            await term.run(self._workers)
        finally:
            metrics.QUEUE_DEPTH.set_function(lambda: 0)
            metrics.HELD_BACK.set_function(lambda: 0)


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises MasterKeyError, ConfigException, OSError, and what a part raises."""
    stop = asyncio.Event()
    _on_signals(stop.set)
    keys = MasterKeys.load(settings.master_key_dir)
    kubeconfig = str(settings.kubeconfig) if settings.kubeconfig else None
    client = await KubeClient.connect(kubeconfig, USER_AGENT, metrics.count_request)
    for_lease = await KubeClient.connect(kubeconfig, USER_AGENT, metrics.count_request)
    tracing = tracing_from_environment("sandbox-operator")
    try:
        # Requests to pods ignore proxies from the environment. The callers limit their number.
        connector = aiohttp.TCPConnector(limit=0)
        identities = PodIdentities(client, settings.namespace)
        async with (
            aiohttp.ClientSession(connector=connector, trust_env=False) as session,
            AgentServers(keys, identities.denial) as agents,
        ):
            peers = parse_peers(settings.gateway_peers)
            gateways = GatewayReplicas(session, keys, peers) if peers else None
            operator = Operator(
                client,
                settings.namespace,
                keys,
                agents,
                gateways,
                settings.workers,
                read_nodes=settings.read_nodes,
                pause_image=settings.pause_image,
                tracing=tracing,
            )
            if not settings.read_nodes:
                _log.info("nodes are not read: warm pods on cordoned nodes are claimed like others")
            caches = operator.caches
            for reason in Reason:
                metrics.SANDBOXES.labels(reason).set_function(partial(caches.lives.count, reason))
            metrics.PODS.set_function(caches.pods.__len__)
            elector = Elector(for_lease, settings.namespace, settings.lease_name, settings.timing, writer=client)
            # By the clock, so that it never says 1 when another operator may lead.
            caches.lives.leads = lambda: elector.leads
            metrics.LEADER.set_function(lambda: elector.leads)
            watches = glue.Watches(
                client, settings.namespace, caches.stores, lambda: _on_signals(stop.set), caches.sweeper.read_again
            )
            # A standby is as ready as the leader, because it could take over now.
            ready = {**_ready(caches), "kopf watches": lambda: watches.alive}
            server = await health.serve(settings.health_port, _healthy(caches), ready)
            try:
                await _run_parts(operator, elector, watches, client.configuration.host, stop)
            finally:
                await server.cleanup()
    finally:
        if tracing:
            await tracing.close()
        await for_lease.close()
        await client.close()


async def _run_parts(
    operator: Operator, elector: Elector, watches: glue.Watches, server: str, stop: asyncio.Event
) -> None:
    caches = operator.caches

    async def take_part() -> None:
        # A leader without filled caches would only block other operators.
        await caches.wait_synced()
        await elector.run(operator.lead)

    async def follow() -> None:
        # kopf does not watch custom resources whose definitions are created after its start.
        await until_known(caches.wait_synced(), server)
        await watches.run()

    # If one part fails, all end, and the process with them. Kubernetes then restarts it.
    async with asyncio.TaskGroup() as group:
        election = group.create_task(take_part())
        parts = [group.create_task(part) for part in (caches.run(), caches.settle(), collector.tend(), follow())]
        await stop.wait()
        # The term ends and the Lease is released first, so another operator continues while this one ends.
        election.cancel()
        await asyncio.wait([election])
        for part in parts:
            part.cancel()


def _on_signals(handle: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, handle)


def _ready(caches: Caches) -> dict[str, Callable[[], bool]]:
    return {
        "caches filled": lambda: caches.synced,
        "installed definitions have all fields": lambda: not caches.definitions.missing,
    }


def _healthy(caches: Caches) -> dict[str, Callable[[], bool]]:
    """Checks for failures that a restart may repair. An API server that refuses or does not answer is not one."""

    def follows(informer: Informer[Any]) -> bool:
        return time.monotonic() - informer.turned_at < _STUCK_SECONDS

    checks: dict[str, Callable[[], bool]] = {
        f"{name} are not stuck": partial(follows, informer) for name, informer in caches.informers.items()
    }
    sweeper = caches.sweeper
    return {**checks, "sweeps are not stuck": lambda: time.monotonic() - sweeper.turned_at < 2 * Sweeper.INTERVAL}

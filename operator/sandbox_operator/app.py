"""The operator's process, wired together."""

import asyncio
import gc
import signal
import time
from collections.abc import Callable

import aiohttp
import structlog

from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import Informer, KubeClient
from sandbox_crds.kube.resources import PODS, SANDBOX_CLASSES, SANDBOX_POOLS, SANDBOXES
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator import glue, health
from sandbox_operator.agent_server import AgentServers
from sandbox_operator.api import Api
from sandbox_operator.idle.check import Gateways
from sandbox_operator.idle.gateways import GatewayReplicas, parse_peers
from sandbox_operator.idle.watch import IdleWatch
from sandbox_operator.pods import Pod, decode
from sandbox_operator.pools.stock import Stock
from sandbox_operator.queue import WorkQueue
from sandbox_operator.reconciler import Reconciler
from sandbox_operator.settings import Settings
from sandbox_operator.store import AnyStore, Store, Sweeper

USER_AGENT = "sandbox-operator"

_STALE_SECONDS = 300.0
"""A watch has a sign of life each minute; after five without one, a new process may do better."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Operator:
    """All parts of one operator, around one client. Make it inside the event loop."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        keys: MasterKeys,
        agents: AgentServers,
        gateways: Gateways | None = None,
    ) -> None:
        self.queue = WorkQueue()
        self.sandboxes = Store(SANDBOXES, Sandbox, self.queue.add)
        self.classes = Store(SANDBOX_CLASSES, SandboxClass, self._class_changed)
        self.pools = Store(SANDBOX_POOLS, SandboxPool, lambda _: None)
        self.stock = Stock()
        self.pods: Informer[Pod] = Informer(
            client, PODS, namespace, decode, label_selector=SANDBOX_LABEL, on_change=self._pod_changed
        )
        # Classes come first: a sandbox that is looked at before its class is known would be refused.
        self.stores: list[AnyStore] = [self.classes, self.pools, self.sandboxes]
        self.sweeper = Sweeper(client, namespace, self.stores)
        api = Api(client, namespace)
        self.reconciler = Reconciler(api, agents, keys, self.queue, self.sandboxes, self.classes, self.pods)
        self.idle = IdleWatch(api, agents, gateways, self.sandboxes, self.classes, self.pods)

    def _class_changed(self, name: str) -> None:
        for sandbox in self.sandboxes:
            if sandbox.spec.class_name == name:
                self.queue.add(sandbox.metadata.name)

    def _pod_changed(self, name: str, pod: Pod | None) -> None:
        before = self.stock.changed(name, pod)
        for sandbox in {known.sandbox for known in (before, pod) if known and known.sandbox}:
            self.queue.add(sandbox)
        self.idle.pod_changed(name, pod)

    @property
    def synced(self) -> bool:
        """Whether all caches have been filled."""
        return self.pods.synced and self.sweeper.synced

    async def work(self) -> None:
        """Reconcile until cancelled, once the caches are filled. Run several of these side by side."""
        await self._wait_synced()
        await self.reconciler.work()

    async def suspend_idle(self) -> None:
        """Look for idle sandboxes until cancelled, once the caches are filled."""
        await self._wait_synced()
        await self.idle.run()

    async def settle(self) -> None:
        """Once the caches are filled, tune the garbage collector to what they hold."""
        await self._wait_synced()
        _log.info("caches filled", sandboxes=len(self.sandboxes), pods=len(self.pods))
        # What lives now lives long; collecting it again and again would stop the loop for 0.1 s at a time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 1000)

    async def _wait_synced(self) -> None:
        await self.pods.wait_synced()
        await self.sweeper.wait_synced()


async def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises MasterKeyError, ConfigException, OSError, and what the parts die of.

    A signal that comes before kopf, which handles them later, has started, ends it with CancelledError.
    """
    if this := asyncio.current_task():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    keys = MasterKeys.load(settings.master_key_dir)
    client = await KubeClient.connect(str(settings.kubeconfig) if settings.kubeconfig else None, USER_AGENT)
    try:
        # Pods are asked directly, whatever proxy the environment names; how many at a time is up to who asks.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
            peers = parse_peers(settings.gateway_peers)
            gateways = GatewayReplicas(session, keys, peers) if peers else None
            operator = Operator(client, settings.namespace, keys, AgentServers(session, keys), gateways)
            server = await health.serve(
                settings.health_port, _healthy(operator), {"caches filled": lambda: operator.synced}
            )
            try:
                await _run_parts(operator, client, settings)
            finally:
                await server.cleanup()
    finally:
        await client.close()


async def _run_parts(operator: Operator, client: KubeClient, settings: Settings) -> None:
    # When one part dies all end, and the process with them: Kubernetes starts a new one.
    async with asyncio.TaskGroup() as group:
        parts = [
            group.create_task(operator.pods.run()),
            group.create_task(operator.sweeper.run()),
            group.create_task(operator.settle()),
            group.create_task(operator.suspend_idle()),
            *(group.create_task(operator.work()) for _ in range(settings.workers)),
        ]
        # kopf would never watch custom resources whose definitions come after its start.
        await operator.sweeper.wait_synced()
        # The last, since kopf waits at its end for all that has started after it.
        await glue.watch(client.configuration, settings.namespace, operator.stores)
        for part in parts:
            part.cancel()


def _healthy(operator: Operator) -> dict[str, Callable[[], bool]]:
    return {
        "pods are followed": lambda: time.monotonic() - operator.pods.heard_at < _STALE_SECONDS,
        "sandboxes are listed": lambda: time.monotonic() - operator.sweeper.swept_at < 2 * Sweeper.INTERVAL,
    }

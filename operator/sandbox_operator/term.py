"""The work of a leader, and what it remembers. A standby has none of this."""

import asyncio
from datetime import datetime
from functools import partial

from sandbox_common import times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient, unreadable
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.spans import Tracing
from sandbox_crds.models import Sandbox
from sandbox_operator.agents.agent_server import AgentServers
from sandbox_operator.agents.image_sizes import ImageSizes
from sandbox_operator.caches import Caches
from sandbox_operator.idle.check import Gateways
from sandbox_operator.idle.watch import IdleWatch
from sandbox_operator.images.api import ImagesApi
from sandbox_operator.images.reconciler import ImagesReconciler
from sandbox_operator.limits.start_queue import StartQueue
from sandbox_operator.pools.api import PoolApi
from sandbox_operator.pools.claims import Claims
from sandbox_operator.pools.client_environments import ClientEnvironments
from sandbox_operator.pools.initializer import Initializer
from sandbox_operator.pools.reconciler import PoolReconciler
from sandbox_operator.process import metrics
from sandbox_operator.sandboxes.agent_requests import AgentRequests
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.sandboxes.ownership import choose
from sandbox_operator.sandboxes.reconciler import Reconciler
from sandbox_operator.sandboxes.traces import StartTraces
from sandbox_operator.usage.api import UsageApi
from sandbox_operator.usage.recorder import UsageRecorder
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.pulls import PullUnderWay
from sandbox_operator.watching.queue import WorkQueue


class Term:
    """The work of a leader, from its take-over to its end. `caches` must be filled. All writes use `client`."""

    def __init__(
        self,
        caches: Caches,
        client: KubeClient,
        namespace: str,
        keys: MasterKeys,
        agents: AgentServers,
        gateways: Gateways | None,
        pause_image: str = "",
        tracing: Tracing | None = None,
    ) -> None:
        api = Api(client, namespace)
        self.queue = WorkQueue(metrics.RECONCILE_SECONDS.observe, metrics.QUEUE_SECONDS.observe)
        self._caches = caches
        self._keys = keys
        pool_api = PoolApi(client, namespace)

        def seen() -> int:
            return caches.pods.version

        self._pools = PoolReconciler(
            pool_api,
            keys,
            caches.pools,
            caches.classes,
            caches.pod_index,
            seen,
            definitions=caches.definitions,
        )
        self._images = ImagesReconciler(
            ImagesApi(client, namespace), caches.images, caches.nodes, caches.pods, pause_image
        )
        self._usage = UsageRecorder(
            UsageApi(client, namespace), WorkQueue(), caches.sandboxes, caches.classes, caches.pod_index.owned_by
        )
        self._idle = IdleWatch(api, agents, gateways, caches.sandboxes, caches.classes, caches.pods)
        self._start_queue = StartQueue(caches.limits.of, self.queue.add)
        environments = ClientEnvironments(client, namespace, keys)
        self._image_sizes = ImageSizes(gateways.image_size if gateways else None, self.queue.add, self.queue.add_after)
        self._reconciler = Reconciler(
            api,
            keys,
            self.queue,
            caches.sandboxes,
            caches.classes,
            caches.pod_index,
            seen,
            Claims(pool_api, environments, keys, caches.pod_index, caches.pools, self._pools.started),
            AgentRequests(agents, Initializer(agents, environments), self.queue),
            self._start_queue,
            caches.services,
            self._pull_of,
            caches.lives,
            definitions=caches.definitions,
            pull_secrets=caches.pull_secrets.of,
            traces=StartTraces(tracing, caches.pulls.finished) if tracing else None,
        )

    def _pull_of(self, sandbox: Sandbox, pod: Pod, now: datetime) -> PullUnderWay | None:
        pull = self._caches.pull_of(pod, now, partial(self._image_sizes.of, sandbox.spec.owner))
        return pull and self._image_sizes.asked(sandbox, pull, now)

    @property
    def held_back(self) -> int:
        """Number of sandboxes that wait because their owner has reached a limit."""
        return self._start_queue.waiting

    async def run(self, workers: int) -> None:
        """Work until cancelled. `workers` is the number of sandboxes that are processed at the same time."""
        self._idle.pods_found(self._caches.pods)
        now = times.utc_now()
        self._start_queue.began(now)
        for sandbox in self._caches.sandboxes:
            pods = self._caches.pod_index.owned_by(sandbox.metadata.uid)
            try:
                self._start_queue.restore(sandbox.metadata.name, sandbox, choose(sandbox, pods, self._keys)[0], now)
            except Exception as error:
                # Otherwise one unreadable object would end each operator's term.
                unreadable.report(SANDBOXES, sandbox.metadata.name, error)
            # A client may wait for a change that no operator has seen yet.
            is_seen = sandbox.status.observed_generation == sandbox.metadata.generation
            (self.queue.add_backlog if is_seen else self.queue.add)(sandbox.metadata.name)
        self._caches.listener = self
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._idle.run())
                group.create_task(self._pools.run())
                group.create_task(self._images.run())
                group.create_task(self._usage.run())
                for _ in range(workers):
                    group.create_task(self._reconciler.work())
        finally:
            self._caches.listener = None
            metrics.IDLE_BLOCKED.set(0)
            self.queue.close()

    def sandbox_changed(self, name: str) -> None:
        """See ChangeListener."""
        self.queue.add(name)
        self._usage.changed(name)

    def class_changed(self, name: str) -> None:
        """See ChangeListener."""
        for sandbox in self._caches.sandboxes:
            if sandbox.spec.class_name == name:
                self.queue.add_backlog(sandbox.metadata.name)
                self._usage.changed(sandbox.metadata.name)
        self._pools.class_changed(name)

    def pool_changed(self, name: str) -> None:
        """See ChangeListener."""
        self._pools.changed(name)

    def image_pulled(self, image: str, size: int) -> None:
        """Implements ChangeListener."""
        self._images.pulled(image, size)

    def images_changed(self, name: str) -> None:
        """Implements ChangeListener."""
        self._images.changed(name)

    def limits_changed(self) -> None:
        """See ChangeListener."""
        self._start_queue.limits_changed()

    def pod_changed(self, name: str, before: Pod | None, pod: Pod | None) -> None:
        """See ChangeListener."""
        if pod == before:
            return
        for sandbox in {known.sandbox for known in (before, pod) if known and known.sandbox}:
            self.queue.add(sandbox)
            self._usage.changed(sandbox)
        self._idle.pod_changed(name, pod)
        self._images.pod_changed(pod)

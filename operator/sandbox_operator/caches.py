"""What an operator knows about its namespace, as leader or standby: custom resources and pods as last seen."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import structlog

from sandbox_common import collector, times
from sandbox_common.kube import Informer, KubeClient
from sandbox_common.kube.resources import EVENTS, PODS, SANDBOX_CLASSES, SANDBOX_POOLS, SANDBOXES
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox, SandboxClass, SandboxPool
from sandbox_operator.images.keepers import State
from sandbox_operator.images.watch import ImageWatch
from sandbox_operator.limits.owners import OwnerLimits
from sandbox_operator.pools.pod_index import PodIndex
from sandbox_operator.sandboxes.lives import Lives
from sandbox_operator.sandboxes.pull_secrets import PullSecrets
from sandbox_operator.sandboxes.services import Services
from sandbox_operator.watching import pulls
from sandbox_operator.watching.definitions import Definitions
from sandbox_operator.watching.node_watch import Nodes
from sandbox_operator.watching.pods import Pod, decode
from sandbox_operator.watching.pulls import PullEvent, Pulls, PullUnderWay
from sandbox_operator.watching.store import AnyStore, Store, Sweeper

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class ChangeListener(Protocol):
    """Acts on changes."""

    def sandbox_changed(self, name: str) -> None:
        """Called for a Sandbox that is new, changed or gone."""
        ...

    def class_changed(self, name: str) -> None:
        """Called for a SandboxClass that is new, changed or gone."""
        ...

    def pool_changed(self, name: str) -> None:
        """Called for a SandboxPool that is new, changed or gone, or whose pods have changed."""
        ...

    def image_pulled(self, image: str, size: int) -> None:
        """A node has pulled this image, which has so many bytes."""
        ...

    def images_changed(self, name: str) -> None:
        """The SandboxImages of this name is new, changed or gone, or has other pods or nodes than before."""
        ...

    def pod_changed(self, name: str, before: Pod | None, pod: Pod | None) -> None:
        """Called for a pod that has changed from `before` to `pod`; None: it does not exist."""
        ...

    def limits_changed(self) -> None:
        """Called when the limits of an owner may have changed."""
        ...


class Caches:
    """Follows one namespace, and with `read_nodes` the nodes. Reports each change to `listener`, if there is one."""

    def __init__(self, client: KubeClient, namespace: str, *, read_nodes: bool = False) -> None:
        self.listener: ChangeListener | None = None
        self.lives = Lives()
        self._read_nodes = read_nodes
        self.definitions = Definitions()
        self._client = client
        self.sandboxes = Store(SANDBOXES, Sandbox, self._sandbox_changed)
        self.classes = Store(SANDBOX_CLASSES, SandboxClass, self._class_changed)
        self.pools = Store(SANDBOX_POOLS, SandboxPool, self._pool_changed)
        self.nodes = Nodes(client, self._node_changed, self._node_reported)
        self.pod_index = PodIndex(self._pool_changed, self.nodes.unfit)
        self.pods: Informer[Pod] = Informer(
            client, PODS, namespace, decode, label_selector=SANDBOX_LABEL, on_change=self._pod_changed
        )
        self.pulls = Pulls()
        # Nothing waits for these: without them, a condition only says less.
        self._pull_events: Informer[PullEvent | None] = Informer(
            client, EVENTS, namespace, pulls.decode, field_selector=pulls.SELECTOR, on_change=self._pull_reported
        )
        self.services = Services(client, namespace, self._sandbox_changed)
        self.pull_secrets = PullSecrets(client, namespace)
        self.images = ImageWatch(client, namespace, self._images_changed)
        self.limits = OwnerLimits(client, namespace, self._limits_changed)
        # Classes come first: a sandbox would be refused if its class were not known yet.
        self.stores: list[AnyStore] = [self.classes, self.pools, self.sandboxes]
        self.sweeper = Sweeper(client, namespace, self.stores)

    @property
    def informers(self) -> Mapping[str, Informer[Any]]:
        """All that follow a list by themselves, but for the nodes, by what they follow."""
        return {
            "pods": self.pods,
            "services": self.services.informer,
            "API keys": self.limits.keys,
            "pull secrets": self.pull_secrets.informer,
        }

    @property
    def synced(self) -> bool:
        """Whether all caches have been filled."""
        return all(synced.synced for synced in (*self.informers.values(), self.sweeper))

    async def wait_synced(self) -> None:
        """Return once all caches have been filled."""
        for synced in (*self.informers.values(), self.sweeper):
            await synced.wait_synced()

    async def run(self) -> None:
        """Follow the API server until cancelled, except for what kopf watches. No answer of the server ends this."""
        async with asyncio.TaskGroup() as group:
            if self._read_nodes:
                group.create_task(self.nodes.run())
            for following in (
                *(informer.run() for informer in self.informers.values()),
                self._pull_events.run(),
                self.images.lists.run(),
                self.images.pods.run(),
                self.sweeper.run(),
                self.definitions.follow(self._client, self.sweeper.read_again),
            ):
                group.create_task(following)

    async def settle(self) -> None:
        """Tune the garbage collector once the caches are filled."""
        await self.wait_synced()
        _log.info("caches filled", sandboxes=len(self.sandboxes), pods=len(self.pods))
        collector.settle()

    def _sandbox_changed(self, name: str) -> None:
        self.lives.sandbox_changed(name, self.sandboxes.get(name), times.utc_now())
        if self.listener:
            self.listener.sandbox_changed(name)

    def _class_changed(self, name: str) -> None:
        if self.listener:
            self.listener.class_changed(name)

    def _pool_changed(self, name: str) -> None:
        if self.listener:
            self.listener.pool_changed(name)

    def _pull_reported(self, _: str, event: PullEvent | None) -> None:
        if event is None:
            return
        self.pulls.see(event)
        if event.size and self.listener:
            self.listener.image_pulled(event.image, event.size)
        pod = self.pods.get(event.pod_name)
        if pod is None or pod.uid != event.pod_uid:
            return
        if event.seconds is None and self.listener and pod.sandbox:
            self.listener.sandbox_changed(pod.sandbox)
        # The first list has pulls that an earlier process has counted.
        if event.seconds is not None and self._pull_events.synced:
            self.lives.pulled(event.seconds)

    def pull_of(self, pod: Pod, now: datetime, size_of: Callable[[str], int]) -> PullUnderWay | None:
        """The image pull that this pod waits for, if there is one; `size_of` knows sizes besides those of kubelets."""
        if not pod.awaits_containers and not pod.awaits_pull:
            return None
        pull = self.pulls.of(pod.uid, pod.node, self._awaits_containers, now, size_of)
        return pull if pull and (pod.awaits_containers or pod.has_begun_again(pull.since)) else None

    def _awaits_containers(self, name: str, uid: str) -> bool:
        pod = self.pods.get(name)
        if pod is not None:
            return pod.uid == uid and pod.awaits_containers
        keeper = self.images.pods.get(name)
        return keeper is not None and keeper.uid == uid and keeper.state is State.PULLING

    def _node_changed(self, _: str) -> None:
        for pool in self.pod_index.pools():
            self._pool_changed(pool)

    def _node_reported(self, _: str) -> None:
        self.images.nodes_changed()

    def _images_changed(self, name: str) -> None:
        if self.listener:
            self.listener.images_changed(name)

    def _limits_changed(self) -> None:
        if self.listener:
            self.listener.limits_changed()

    def _pod_changed(self, name: str, pod: Pod | None) -> None:
        before = self.pod_index.changed(name, pod)
        self.lives.pod_changed(before, pod, times.utc_now())
        if self.listener:
            self.listener.pod_changed(name, before, pod)

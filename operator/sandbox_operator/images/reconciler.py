"""One pass over one list of images: look at each node, plan, apply, report."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

import structlog

from sandbox_common import times
from sandbox_common.kube import ApiError
from sandbox_common.waiting import together
from sandbox_crds.models import SandboxImages
from sandbox_operator.builders.quantity import whole
from sandbox_operator.images.api import ImagesApi
from sandbox_operator.images.builders import build_keeper, new_name
from sandbox_operator.images.keepers import Keeper, State, full
from sandbox_operator.images.memory import Answer, Memory
from sandbox_operator.images.plan import World, plan
from sandbox_operator.images.status import OnNode, is_urgent, next_status
from sandbox_operator.images.watch import ImageWatch
from sandbox_operator.reporting.conditions import patch
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.node_watch import Nodes
from sandbox_operator.watching.nodes import Node, Toleration, toleration
from sandbox_operator.watching.pod_expectations import PodExpectations
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.workers import work

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

STATUS_SECONDS = 5.0
"""How long changes of the counts are gathered before they are written."""

_MOST_WRITES = 8
"""Pods that one pass makes or deletes, so that sandboxes do not wait for the API server."""
_GATHER_SECONDS = 0.3
_RETRY_SECONDS = 1.0
_NODES_SECONDS = 10.0
"""After so long without nodes the operator has no right to read them."""
_REST = 10.0
"""A pass that took a second is followed by so many without one: it looks at each image on each node."""


class ImagesReconciler:
    """Keeps the images of each list on its nodes. `now` is the wall clock in UTC, `clock` is monotonic."""

    def __init__(
        self,
        api: ImagesApi,
        watch: ImageWatch,
        nodes: Nodes,
        pods: Iterable[Pod],
        pause_image: str,
        now: Callable[[], datetime] = times.utc_now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._watch = watch
        self._nodes = nodes
        self._pods = pods
        self._pause_image = pause_image
        self._now = now
        self._clock = clock
        self._queue = WorkQueue()
        self._memories: dict[str, Memory] = {}
        self._began = clock()
        self._gather = _GATHER_SECONDS

    async def run(self) -> None:
        """Work until cancelled."""
        for item in self._watch.lists:
            self._queue.add(item.metadata.name)
        try:
            await work(self._queue, self.reconcile, "images")
        finally:
            self._queue.close()

    def changed(self, name: str) -> None:
        """This list, one of its pods or a node is new, changed or gone."""
        self._queue.add_after(name, self._gather)

    def pod_changed(self, pod: Pod | None) -> None:
        """This pod of a sandbox is new or changed."""
        for name, memory in self._memories.items():
            if _takes_over(memory, pod):
                self.changed(name)

    def pulled(self, image: str, size: int) -> None:
        """A node has pulled this image, which has so many bytes."""
        for memory in self._memories.values():
            memory.sizes.learn(memory.texts, {full(image): size})

    async def reconcile(self, name: str) -> None:
        """One pass over the list of this name. Raises what ImagesApi raises; the pass is then to be repeated."""
        if not self._watch.synced or (not self._nodes.informer.synced and self._clock() < self._began + _NODES_SECONDS):
            self._queue.add_after(name, _RETRY_SECONDS)
            return
        item = self._watch.lists.get(name)
        if item is None or item.metadata.deletion_timestamp:
            # The garbage collector deletes the pods.
            self._queue.drop(name)
            self._memories.pop(name, None)
            return
        began = self._clock()
        memory = self._memory(item)
        item = _newest(item, memory.written, self._watch.lists.version)
        now = self._now()
        found, left = await self._look(item, memory, now) if self._nodes.informer.synced else (None, [])
        self._gather = max(_GATHER_SECONDS, _REST * (self._clock() - began))
        await self._report(item, memory, found)
        if await self._apply(item, memory, [*(found or ()), *left], now):
            self.changed(name)
        self._queue.forget(name)
        if due := memory.due(now):
            self._queue.add_after(name, (due - now).total_seconds())

    def _memory(self, item: SandboxImages) -> Memory:
        name, uid = item.metadata.name, item.metadata.uid
        memory = self._memories.get(name)
        if memory is None or memory.uid != uid:
            expectations = PodExpectations[Keeper](lambda: self._watch.pods.version)
            memory = self._memories[name] = Memory(uid, expectations)
        room = whole(item.spec.max_disk) if item.spec.max_disk else None
        if memory.read(item, room, self._now()):
            for pod in self._pods:
                _takes_over(memory, pod)
        return memory

    async def _look(self, item: SandboxImages, memory: Memory, now: datetime) -> tuple[list[OnNode], list[OnNode]]:
        """What is so, and what is to be done, on each node that shall have the images, and on all others."""
        owned = [keeper for keeper in self._watch.keepers(item.metadata.name) if keeper.owner_uid == memory.uid]
        keepers = memory.expectations.overlay(owned, self._watch.pods.get, now)
        on: dict[str, list[Keeper]] = {}
        for keeper in keepers:
            on.setdefault(keeper.node, []).append(keeper)
        tolerations = _tolerations(item)
        nodes = self._nodes.matching(item.spec.node_selector)
        memory.forget_others({node.name for node in nodes}, {keeper.uid for keeper in keepers})
        memory.learn((node.images for node in nodes), keepers)
        for node in nodes:
            memory.look(node.name, on.get(node.name, ()), now)
        order = memory.order()
        if order[1] and memory.begin_next_pass(now):
            order = memory.order()
        found: list[OnNode] = []
        left: list[OnNode] = []
        for node in nodes:
            is_fit = not node.unfit(tolerations)
            here = _on_node(item, memory, order, node, on.pop(node.name, []), now, is_fit=is_fit)
            (found if is_fit else left).append(here)
            # Thousands of images on hundreds of nodes would hold up everything else in this process.
            await asyncio.sleep(0)
        for name, there in on.items():
            left.append(OnNode.of(name, plan(World((), there, item.spec.parallelism)), there, {}, 0))
        return found, left

    def _unfit(self, item: SandboxImages) -> list[str]:
        """Like `node-1 is cordoned`: the nodes that would have the images if they took pods."""
        tolerations = _tolerations(item)
        reasons = ((node.name, node.unfit(tolerations)) for node in self._nodes.matching(item.spec.node_selector))
        return [f"{name} {reason}" for name, reason in reasons if reason]

    async def _apply(self, item: SandboxImages, memory: Memory, found: Collection[OnNode], now: datetime) -> bool:
        """Do the next steps; whether there were any."""
        deletes = [keeper for node in found for keeper in node.plan.deletes][:_MOST_WRITES]
        await together([self._delete(memory, keeper) for keeper in deletes])
        creates = [(node.name, images) for node in found for images in node.plan.creates]
        is_refused = memory.refused_until is not None and now < memory.refused_until
        creates = [] if is_refused else creates[: _MOST_WRITES - len(deletes)]
        answers = await together([self._create(item, memory, node, images) for node, images in creates])
        if creates:
            memory.answered(answers, self._now())
            if refusal := next(filter(None, (answer.refusal for answer in answers)), None):
                _log.warning("refused", images=item.metadata.name, reason=refusal.reason, error=refusal.message)
        return bool(deletes or creates)

    async def _delete(self, memory: Memory, keeper: Keeper) -> None:
        await self._api.delete(keeper)
        memory.expectations.deleted(keeper)

    async def _create(self, item: SandboxImages, memory: Memory, node: str, images: tuple[str, ...]) -> Answer:
        texts = [memory.texts[image] for image in images]
        made = await self._api.create(build_keeper(item, node, texts, self._pause_image, new_name(item)))
        if isinstance(made, Refusal):
            return Answer(node, images, made)
        memory.expectations.created(made)
        return Answer(node, images)

    async def _report(self, item: SandboxImages, memory: Memory, found: list[OnNode] | None) -> None:
        """Write the status, if it has changed and is due."""
        status = next_status(item, memory, found, [] if found else self._unfit(item), self._now())
        changes = patch(item.status, status)
        if not changes:
            memory.changed_at = None
            return
        if not is_urgent(item.status, status):
            now = self._clock()
            memory.changed_at = now if memory.changed_at is None else memory.changed_at
            if now < memory.changed_at + STATUS_SECONDS:
                self._queue.add_after(item.metadata.name, memory.changed_at + STATUS_SECONDS - now)
                return
        memory.changed_at = None
        try:
            memory.written = await self._api.patch_status(item, changes)
        except ApiError as error:
            if error.code != 404:
                raise


def _tolerations(item: SandboxImages) -> list[Toleration]:
    return [toleration(part) for part in item.spec.tolerations]


def _on_node(
    item: SandboxImages,
    memory: Memory,
    order: tuple[list[str], list[str]],
    node: Node,
    keepers: list[Keeper],
    now: datetime,
    *,
    is_fit: bool,
) -> OnNode:
    size = memory.size(keepers, node.images, now)
    world = World(
        images=order[0],
        spares=order[1],
        keepers=keepers,
        parallelism=item.spec.parallelism,
        resting=memory.resting(node.name, now),
        room=memory.sizes.room,
        size=size,
        is_fit=is_fit,
        merges=memory.may_merge(node.name, now),
    )
    kept = {image for keeper in keepers if keeper.state is State.READY for image in keeper.images}
    bytes_ = sum(memory.sizes.known(image) or 0 for image in kept)
    return OnNode.of(node.name, plan(world), keepers, memory.failures.get(node.name, {}), bytes_)


def _takes_over(memory: Memory, pod: Pod | None) -> bool:
    """Note the image of a sandbox's pod; whether that is news."""
    if pod is None or not pod.sandbox or not pod.node:
        return False
    return memory.sandbox_started(full(pod.image), pod.claimed or pod.created)


def _newest(item: SandboxImages, written: SandboxImages | None, seen: int) -> SandboxImages:
    """The list as seen up to this resource version, or as this process has written it later."""
    if written and int(written.metadata.resource_version) > max(seen, int(item.metadata.resource_version)):
        return written
    return item

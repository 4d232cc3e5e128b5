"""One pass over one pool: look, plan, report, apply. A pass follows shortly after each change of the pool's pods."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from sandbox_common import times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import FAILURES, ApiError
from sandbox_common.waiting import together
from sandbox_crds.models import SandboxClass, SandboxPool
from sandbox_operator.builders.refusals import refused
from sandbox_operator.pools import metrics
from sandbox_operator.pools.api import PoolApi
from sandbox_operator.pools.builders import build_warm_pod, build_warm_secret, build_warm_volume_claim, new_name
from sandbox_operator.pools.free_pods import FreePods
from sandbox_operator.pools.memory import BREATH, LOOK_INTERVAL, PoolMemory
from sandbox_operator.pools.plan import PoolPlan, PoolWorld, plan
from sandbox_operator.pools.pod_index import PodIndex
from sandbox_operator.pools.status import is_urgent, next_status
from sandbox_operator.reporting.conditions import patch
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.definitions import Definitions
from sandbox_operator.watching.pod_expectations import PodExpectations
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.store import Store
from sandbox_operator.watching.workers import work

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

STATUS_SECONDS = 5.0
"""Seconds for which changes of the counts are gathered before they are written."""

_WORKERS = 2
_GATHER_SECONDS = 0.1
"""Seconds for which changes of pods are gathered before a pass, because a pass looks at all pods of a pool."""


class PoolReconciler:
    """Keeps each pool filled.

    `seen()` returns the resource version up to which `pod_index` is complete. `now` is the wall clock in UTC, `clock`
    the monotonic clock that `pod_index` uses.
    """

    def __init__(
        self,
        api: PoolApi,
        keys: MasterKeys,
        pools: Store[SandboxPool],
        classes: Store[SandboxClass],
        pod_index: PodIndex,
        seen: Callable[[], int],
        now: Callable[[], datetime] = times.utc_now,
        clock: Callable[[], float] = time.monotonic,
        definitions: Definitions | None = None,
    ) -> None:
        self._api = api
        self._definitions = definitions or Definitions()
        self._keys = keys
        self._pools = pools
        self._classes = classes
        self._pod_index = pod_index
        self._seen = seen
        self._now = now
        self._clock = clock
        self._queue = WorkQueue()
        self._memories: dict[str, PoolMemory] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        for pool in self._pools:
            self._queue.add(pool.metadata.name)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_WORKERS):
                    group.create_task(work(self._queue, self.reconcile, "pool"))
        finally:
            self._queue.close()
            for name in self._memories:
                metrics.forget(name)

    def changed(self, name: str) -> None:
        """Note that this pool, or one of its pods, is new, changed or gone."""
        self._queue.add_after(name, _GATHER_SECONDS)

    def class_changed(self, name: str) -> None:
        """Note that this SandboxClass is new, changed or gone."""
        for pool in self._pools:
            if pool.spec.class_name == name:
                self.changed(pool.metadata.name)

    def started(self, name: str) -> None:
        """Note a start that claimed a pod of this pool, or found the pool empty."""
        memory = self._memories.get(name)
        if memory and memory.sizer:
            memory.sizer.started(self._clock())
        self._queue.add_after(name, BREATH)

    async def reconcile(self, name: str) -> None:
        """Make one pass over this pool. Raises what PoolApi raises; repeat the pass then."""
        pool = self._pools.get(name)
        if pool is None or pool.metadata.deletion_timestamp:
            # The garbage collector deletes the free pods.
            self._forget(name)
            return
        memory = self._memory(pool)
        class_ = self._classes.get(pool.spec.class_name)
        wanted = memory.wanted(pool)
        has_waited = memory.waits
        if has_waited and memory.is_to_wait(self._pod_index, wanted):
            # During many claims, the pass does not even look at the pods: its cost grows with their number.
            self._queue.add_after(name, BREATH)
            return
        steps, free_pods = self._plan(memory, pool, class_, wanted)
        if memory.is_to_look(free_pods, self._now()):
            await self._look(memory, name)
            steps, free_pods = self._plan(memory, pool, class_, wanted)
        await self._report(memory, pool, class_, wanted, free_pods)
        if steps and not has_waited and memory.is_to_wait(self._pod_index, wanted):
            self._queue.add_after(name, BREATH)
        elif steps and class_:
            await self._apply(memory, pool, class_, steps)
            # There may be more to do, or the pods may have changed.
            self._queue.add(name)
        self._queue.forget(name)
        if steps.requeue_at:
            self._queue.add_after(name, (steps.requeue_at - self._now()).total_seconds())
        if memory.sizer and (due := memory.sizer.look_again(self._clock())):
            self._queue.add_after(name, due - self._clock())

    def _memory(self, pool: SandboxPool) -> PoolMemory:
        name, uid = pool.metadata.name, pool.metadata.uid
        memory = self._memories.get(name)
        if memory is None or memory.uid != uid:
            memory = self._memories[name] = PoolMemory(uid, PodExpectations(self._seen), self._clock)
        return memory

    def _forget(self, name: str) -> None:
        self._queue.drop(name)
        if self._memories.pop(name, None):
            metrics.forget(name)

    def _plan(
        self, memory: PoolMemory, pool: SandboxPool, class_: SandboxClass | None, wanted: int
    ) -> tuple[PoolPlan, FreePods]:
        now = self._now()
        free_pods = memory.look(pool, class_, self._pod_index, self._keys, now)
        if class_ is None:
            return PoolPlan(), free_pods
        count = 0 if refused(pool.spec, class_) else wanted
        return plan(PoolWorld(count, free_pods, memory.history, now, memory.equipped)), free_pods

    async def _look(self, memory: PoolMemory, name: str) -> None:
        """Read the Events about volume claims. Without them, the status only says less."""
        memory.looked_at = self._clock()
        try:
            memory.looked(await self._api.volume_events())
        except FAILURES as error:
            _log.warning("events not read", pool=name, error=str(error) or type(error).__name__)
        self._queue.add_after(name, LOOK_INTERVAL)

    async def _apply(self, memory: PoolMemory, pool: SandboxPool, class_: SandboxClass, steps: PoolPlan) -> None:
        # If a pod has changed, this raises 409: fewer new pods may be needed, and the cache needs time to catch up.
        await together([self._delete(memory, pod) for pod in steps.deletes])
        if steps.creates:
            memory.history = memory.history.tried(self._now())
        answers = await together(
            [
                *(self._equip(memory, pool, class_, pod) for pod in steps.equips),
                *(self._create(memory, pool, class_) for _ in range(steps.creates)),
            ]
        )
        if answers:
            refusal = next(filter(None, answers), None)
            memory.history = memory.history.answered(refusal, self._now())
            if refusal:
                metrics.FAILURES.labels(pool.metadata.name, refusal.reason).inc()
                _log.warning("refused", pool=pool.metadata.name, reason=refusal.reason, error=refusal.message)
        _log.info("pool changed", pool=pool.metadata.name, deleted=len(steps.deletes), asked_for=steps.creates)

    async def _delete(self, memory: PoolMemory, pod: Pod) -> None:
        await self._api.delete_pod(pod)
        memory.expectations.deleted(pod)

    async def _create(self, memory: PoolMemory, pool: SandboxPool, class_: SandboxClass) -> Refusal | None:
        made = await self._api.create_pod(build_warm_pod(pool, class_, self._keys, new_name(pool)))
        if isinstance(made, Refusal):
            return made
        memory.expectations.created(made)
        # Its other objects are deleted with the pod, so they need the pod's UID.
        return await self._equip(memory, pool, class_, made)

    async def _equip(self, memory: PoolMemory, pool: SandboxPool, class_: SandboxClass, pod: Pod) -> Refusal | None:
        """Make the pod's Secret, and its volume claim if it needs one."""
        creates = [self._api.create_secret(build_warm_secret(pool, class_, self._keys, pod))]
        if pod.volume_claim:
            creates.append(self._api.create_volume_claim(build_warm_volume_claim(pool, class_, pod)))
        refusal = next(filter(None, await together(creates)), None)
        if refusal is None:
            memory.equipped.add(pod.uid)
        return refusal

    async def _report(
        self, memory: PoolMemory, pool: SandboxPool, class_: SandboxClass | None, wanted: int, free_pods: FreePods
    ) -> None:
        """Write the status if it has changed and is due."""
        name = pool.metadata.name
        claimed = self._pod_index.claimed(name)
        status = next_status(pool, class_, wanted, free_pods, memory.history, claimed, self._now())
        metrics.show(name, status)
        changes = self._definitions.kept("SandboxPool", pool.status, patch(pool.status, status))
        if not changes:
            memory.changed_at = None
            return
        if not is_urgent(pool.status, status):
            now = self._clock()
            memory.changed_at = now if memory.changed_at is None else memory.changed_at
            if now < memory.changed_at + STATUS_SECONDS:
                self._queue.add_after(name, memory.changed_at + STATUS_SECONDS - now)
                return
        memory.changed_at = None
        try:
            answer = await self._api.patch_status(pool, changes)
            self._definitions.written(changes, answer)
            self._pools.refresh(answer)
        except ApiError as error:
            if error.code != 404:
                raise
            self._pools.drop(name, pool.metadata.uid)

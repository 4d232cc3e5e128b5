"""One pass over one pool: look, plan, apply, tell. Passes follow each change of its pods, shortly after."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from sandbox_common import times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError
from sandbox_crds.models import SandboxClass, SandboxPool
from sandbox_operator.builders.refusals import refused
from sandbox_operator.pools import metrics
from sandbox_operator.pools.api import PoolApi
from sandbox_operator.pools.builders import build_warm_pod, build_warm_secret, new_name
from sandbox_operator.pools.census import Census
from sandbox_operator.pools.expectations import Expectations
from sandbox_operator.pools.memory import BREATH, Memory
from sandbox_operator.pools.plan import Plan, World, plan
from sandbox_operator.pools.status import is_urgent, next_status
from sandbox_operator.pools.stock import Stock
from sandbox_operator.reporting.conditions import patch
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.definitions import Definitions
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.store import Store
from sandbox_operator.watching.workers import work

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

STATUS_SECONDS = 5.0
"""How long changes of the counts are gathered before they are written."""

_WORKERS = 2
_GATHER_SECONDS = 0.1
"""How long changes of pods are gathered before a pass, which looks at all of a pool's pods."""


class PoolReconciler:
    """Keeps each pool filled.

    `seen` gives the resource version up to which `stock` is complete. `now` is the wall clock in UTC, `clock` is
    monotonic and the one of `stock`.
    """

    def __init__(
        self,
        api: PoolApi,
        keys: MasterKeys,
        pools: Store[SandboxPool],
        classes: Store[SandboxClass],
        stock: Stock,
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
        self._stock = stock
        self._seen = seen
        self._now = now
        self._clock = clock
        self._queue = WorkQueue()
        self._memories: dict[str, Memory] = {}

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
        """This pool, or one of its pods, is new, changed or gone."""
        self._queue.add_after(name, _GATHER_SECONDS)

    def class_changed(self, name: str) -> None:
        """This SandboxClass is new, changed or gone."""
        for pool in self._pools:
            if pool.spec.class_name == name:
                self.changed(pool.metadata.name)

    def started(self, name: str) -> None:
        """A sandbox claimed a pod of this pool, or would have if it had not been empty; once for each start."""
        memory = self._memories.get(name)
        if memory and memory.sizer:
            memory.sizer.started(self._clock())
        self._queue.add_after(name, BREATH)

    async def reconcile(self, name: str) -> None:
        """One pass over the pool of this name. Raises what PoolApi raises; the pass is then to be repeated."""
        pool = self._pools.get(name)
        if pool is None or pool.metadata.deletion_timestamp:
            # The garbage collector deletes the free pods.
            self._forget(name)
            return
        memory = self._memory(pool)
        class_ = self._classes.get(pool.spec.class_name)
        wanted = memory.wanted(pool)
        has_waited = memory.waits
        if has_waited and memory.is_to_wait(self._stock, wanted):
            # While claims come in numbers, not even the pods are looked at: that costs more the more there are.
            self._queue.add_after(name, BREATH)
            return
        steps, census = self._plan(memory, pool, class_, wanted)
        await self._tell(memory, pool, class_, wanted, census)
        if steps and not has_waited and memory.is_to_wait(self._stock, wanted):
            self._queue.add_after(name, BREATH)
        elif steps and class_:
            await self._apply(memory, pool, class_, steps)
            # There may be more to do, or other than was thought.
            self._queue.add(name)
        self._queue.forget(name)
        if steps.requeue_at:
            self._queue.add_after(name, (steps.requeue_at - self._now()).total_seconds())
        if memory.sizer and (due := memory.sizer.look_again(self._clock())):
            self._queue.add_after(name, due - self._clock())

    def _memory(self, pool: SandboxPool) -> Memory:
        name, uid = pool.metadata.name, pool.metadata.uid
        memory = self._memories.get(name)
        if memory is None or memory.uid != uid:
            memory = self._memories[name] = Memory(uid, Expectations(self._seen), self._clock)
        return memory

    def _forget(self, name: str) -> None:
        self._queue.drop(name)
        if self._memories.pop(name, None):
            metrics.forget(name)

    def _plan(self, memory: Memory, pool: SandboxPool, class_: SandboxClass | None, wanted: int) -> tuple[Plan, Census]:
        now = self._now()
        census = memory.look(pool, class_, self._stock, self._keys, now)
        if class_ is None:
            return Plan(), census
        # A volume belongs to one sandbox, so it cannot be there before.
        count = 0 if class_.spec.workspace.persistent or refused(pool.spec, class_) else wanted
        return plan(World(count, census, memory.record, now, memory.secrets)), census

    async def _apply(self, memory: Memory, pool: SandboxPool, class_: SandboxClass, steps: Plan) -> None:
        kept = await _together([self._delete(memory, pod) for pod in steps.deletes])
        # Where a pod was not as it had been seen, so many new ones may not be needed.
        creates = 0 if any(kept) else steps.creates
        if creates:
            memory.record = memory.record.tried(self._now())
        answers = await _together(
            [
                *(self._create_secret(memory, pool, class_, pod) for pod in steps.secrets),
                *(self._create(memory, pool, class_) for _ in range(creates)),
            ]
        )
        if answers:
            refusal = next(filter(None, answers), None)
            memory.record = memory.record.answered(refusal, self._now())
            if refusal:
                metrics.FAILURES.labels(pool.metadata.name, refusal.reason).inc()
                _log.warning("refused", pool=pool.metadata.name, reason=refusal.reason, error=refusal.message)
        _log.info("pool changed", pool=pool.metadata.name, deleted=kept.count(False), asked_for=creates)

    async def _delete(self, memory: Memory, pod: Pod) -> bool:
        """Whether the pod is not as it was seen, and stays."""
        if not await self._api.delete_pod(pod):
            return True
        memory.expectations.deleted(pod)
        return False

    async def _create(self, memory: Memory, pool: SandboxPool, class_: SandboxClass) -> Refusal | None:
        made = await self._api.create_pod(build_warm_pod(pool, class_, self._keys, new_name(pool)))
        if isinstance(made, Refusal):
            return made
        memory.expectations.created(made)
        # The Secret goes with the pod, so it needs the pod's UID.
        return await self._create_secret(memory, pool, class_, made)

    async def _create_secret(self, memory: Memory, pool: SandboxPool, class_: SandboxClass, pod: Pod) -> Refusal | None:
        refusal = await self._api.create_secret(build_warm_secret(pool, class_, self._keys, pod))
        if refusal is None:
            memory.secrets.add(pod.uid)
        return refusal

    async def _tell(
        self, memory: Memory, pool: SandboxPool, class_: SandboxClass | None, wanted: int, census: Census
    ) -> None:
        """Write the status, if it has changed and is due."""
        name = pool.metadata.name
        claimed = self._stock.claimed(name)
        status = next_status(pool, class_, wanted, census, memory.record, claimed, self._now())
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


async def _together[T](requests: list[Awaitable[T]]) -> list[T]:
    """What all requests give. Raises what one of them raises, once all have ended."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]

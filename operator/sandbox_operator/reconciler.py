"""One pass over one sandbox: gather, plan, apply. And the workers that make such passes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import aiohttp
import structlog

from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import ApiError, Informer
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.api import Api, Outcome
from sandbox_operator.builders.owned import name_of
from sandbox_operator.expectations import Expectations
from sandbox_operator.plan import Made, Plan, World, plan
from sandbox_operator.pods import Pod, decode
from sandbox_operator.queue import WorkQueue
from sandbox_operator.store import Store

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_REFUSED_RETRY_SECONDS = 1.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Reconciler:
    """Makes sandboxes so. `now` is the wall clock in UTC."""

    def __init__(
        self,
        api: Api,
        keys: MasterKeys,
        queue: WorkQueue,
        sandboxes: Store[Sandbox],
        classes: Store[SandboxClass],
        pods: Informer[Pod],
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._api = api
        self._keys = keys
        self._queue = queue
        self._sandboxes = sandboxes
        self._classes = classes
        self._pods = pods
        self._now = now
        self._expectations = Expectations()
        self._made: dict[str, tuple[str, Made]] = {}

    async def work(self) -> None:
        """Take keys from the queue until cancelled. Run several of these side by side."""
        while True:
            key = await self._queue.get()
            try:
                await self._attempt(key)
            finally:
                self._queue.done(key)

    async def _attempt(self, key: str) -> None:
        try:
            await self.reconcile(key)
        except ApiError as error:
            if error.code != 409:
                _log.warning("will be tried again", sandbox=key, error=str(error))
            self._queue.retry(key, error.retry_after or 0.0)
        except (aiohttp.ClientError, OSError) as error:
            _log.warning("will be tried again", sandbox=key, error=str(error) or type(error).__name__)
            self._queue.retry(key)
        except Exception:
            _log.exception("will be tried again", sandbox=key)
            self._queue.retry(key)

    async def reconcile(self, key: str) -> None:
        """One pass over the sandbox of this name. Raises what Api raises; the pass is then to be repeated."""
        sandbox = self._sandboxes.get(key)
        if sandbox is None:
            self._forget(key)
            return
        world = self._gather(key, sandbox)
        steps = plan(world, self._keys)
        refused = False
        if steps.creates:
            if sandbox.status.pod_name and not await self._is_there(sandbox):
                return
            outcome = await self._create(key, world, steps)
            refused = outcome.refusal is not None
            steps = plan(replace(self._gather(key, sandbox), refusal=outcome.refusal), self._keys)
        await self._finish(key, sandbox, steps)
        if refused:
            self._queue.retry(key, _REFUSED_RETRY_SECONDS)
        else:
            self._queue.forget(key)
        if steps.requeue_at:
            self._queue.add_after(key, (steps.requeue_at - self._now()).total_seconds())

    def _gather(self, key: str, sandbox: Sandbox) -> World:
        now = self._now()
        cached = self._pods.get(name_of(sandbox))
        uid, made = self._made.get(key, ("", None))
        return World(
            sandbox=sandbox,
            class_=self._classes.get(sandbox.spec.class_name),
            pod=self._expectations.overlay(key, cached, now, asyncio.get_running_loop().time()),
            now=now,
            made=made if uid == sandbox.metadata.uid else None,
        )

    async def _is_there(self, sandbox: Sandbox) -> bool:
        """Ask before a lost pod is replaced: it may be lost since its Sandbox is, which the watch has not told."""
        found = await self._api.get(sandbox)
        if found is None:
            self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
        return found is not None

    async def _create(self, key: str, world: World, steps: Plan) -> Outcome:
        uid = world.sandbox.metadata.uid
        outcome = await self._api.create(steps.creates, uid)
        pod = world.pod
        if outcome.pod:
            pod = decode(outcome.pod)
            self._expectations.created(key, pod, asyncio.get_running_loop().time())
        if outcome.key_id:
            complete = pod is not None and outcome.refusal is None
            self._made[key] = (uid, Made(outcome.key_id, pod.uid if pod and complete else ""))
        if outcome.pod_created:
            for event in steps.events:
                await self._api.tell(event)
        return outcome

    async def _finish(self, key: str, sandbox: Sandbox, steps: Plan) -> None:
        if steps.delete:
            await self._api.delete_pod(steps.delete)
            self._expectations.deleted(key, steps.delete, asyncio.get_running_loop().time())
        if steps.status is None:
            return
        try:
            stored = await self._api.patch_status(sandbox, steps.status)
        except ApiError as error:
            if error.code != 404:
                raise
            self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
            return
        self._sandboxes.refresh(stored)
        _log.info("status written", sandbox=sandbox.metadata.name, fields=sorted(steps.status))

    def _forget(self, key: str) -> None:
        self._made.pop(key, None)
        self._expectations.forget(key)
        self._queue.forget(key)

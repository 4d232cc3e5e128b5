"""One pass over one sandbox: gather, plan, apply. And the workers that make such passes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import structlog

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.kube.resources import SERVICES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.agents.agent_server import AgentServers
from sandbox_operator.agents.preparations import Preparations
from sandbox_operator.limits.ledger import HeldBack, Ledger
from sandbox_operator.pools.claims import Claims
from sandbox_operator.pools.initializations import Initializations
from sandbox_operator.pools.matching import Miss, MissReason
from sandbox_operator.pools.stock import Stock
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.sandboxes.expectations import Expectations
from sandbox_operator.sandboxes.ownership import choose
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.services import ServiceChange, Services, refused_event
from sandbox_operator.sandboxes.volumes import growth, volume_events
from sandbox_operator.sandboxes.world import Create, Made, Plan, World
from sandbox_operator.watching import times
from sandbox_operator.watching.definitions import Definitions
from sandbox_operator.watching.pace import Pace
from sandbox_operator.watching.pods import Pod, decode
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.store import Store
from sandbox_operator.watching.workers import work

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_REFUSED_RETRY_SECONDS = 1.0
_FULL_RETRY_SECONDS = 1.0
_SERVICE_RETRY_SECONDS = 60.0
_LOOKS_SHARE = 0.1
"""Of the time, for reading Events: when thousands start at once, all of them wait long enough to be looked into."""
_NEVER_LOOKED: tuple[str, None, tuple[ClusterEvent, ...]] = ("", None, ())


class Reconciler:
    """Makes sandboxes so. `now` is the wall clock in UTC."""

    def __init__(
        self,
        api: Api,
        agents: AgentServers,
        keys: MasterKeys,
        queue: WorkQueue,
        sandboxes: Store[Sandbox],
        classes: Store[SandboxClass],
        stock: Stock,
        claims: Claims,
        initializations: Initializations,
        ledger: Ledger,
        services: Services,
        now: Callable[[], datetime] = times.utc_now,
        definitions: Definitions | None = None,
    ) -> None:
        self._api = api
        self._definitions = definitions or Definitions()
        self._keys = keys
        self._queue = queue
        self._sandboxes = sandboxes
        self._classes = classes
        self._stock = stock
        self._claims = claims
        self._initializations = initializations
        self._ledger = ledger
        self._services = services
        self._now = now
        self._expectations = Expectations()
        self._preparations = Preparations(agents, queue.add)
        self._missed: dict[str, tuple[str, Miss]] = {}
        self._made: dict[str, tuple[str, Made]] = {}
        self._looked: dict[str, tuple[str, datetime, tuple[ClusterEvent, ...]]] = {}
        self._looks = Pace(_LOOKS_SHARE)
        self._untold: set[str] = set()

    async def work(self) -> None:
        """Take keys from the queue until cancelled. Run several of these side by side."""
        await work(self._queue, self.reconcile, "sandbox")

    async def reconcile(self, key: str) -> None:
        """One pass over the sandbox of this name. Raises what Api raises; the pass is then to be repeated."""
        sandbox = self._sandboxes.get(key)
        if sandbox is None:
            self._forget(key)
            return
        refusal: Refusal | None = None
        prepared = self._preparations.take(key)
        steps = self._plan(key, sandbox, prepared=prepared)
        starts = steps.starts
        if starts and (ready_at := self._ledger.ready_at(sandbox, self._now())):
            self._queue.add_after(key, (ready_at - self._now()).total_seconds())
            return
        if starts and (held_back := self._ledger.ask(key, sandbox, self._now())):
            steps = self._plan(key, sandbox, held_back=held_back, prepared=prepared)
        if steps.claim:
            await self._claim(key, sandbox, steps)
            steps = self._plan(key, sandbox, prepared=prepared)
        if steps.creates:
            if sandbox.status.pod_name and not await self._is_current(sandbox):
                return
            if await self._is_late(key, sandbox):
                self._queue.add(key)
                return
            await self._tell(steps.events)
            refusal = await self._create(key, sandbox, steps.creates)
            steps = self._plan(key, sandbox, refusal=refusal, prepared=prepared)
        if steps.look:
            await self._look(key, steps.look)
            steps = self._plan(key, sandbox, prepared=prepared)
        # While the agent server was asked, somebody may have thought better of it.
        if prepared and steps.delete and not await self._is_current(sandbox):
            return
        if refusal or not starts:
            self._ledger.withdraw(key, sandbox, self._choose(key, sandbox)[0])
        await self._finish(key, sandbox, steps)
        if not self._begin(key, sandbox, steps):
            self._queue.add_after(key, _FULL_RETRY_SECONDS)
        (self._untold.add if steps.unreported else self._untold.discard)(key)
        if refusal:
            self._queue.retry(key, _REFUSED_RETRY_SECONDS)
        else:
            self._queue.forget(key)
        if steps.requeue_at:
            self._queue.add_after(key, (steps.requeue_at - self._now()).total_seconds())

    def _plan(
        self,
        key: str,
        sandbox: Sandbox,
        *,
        refusal: Refusal | None = None,
        held_back: HeldBack | None = None,
        prepared: str = "",
    ) -> Plan:
        pod, surplus = self._choose(key, sandbox)
        self._ledger.look(key, sandbox, pod)
        uid, made = self._made.get(key, ("", None))
        missed_uid, miss = self._missed.get(key, ("", None))
        pod_uid, looked, evidence = self._looked.get(key, _NEVER_LOOKED)
        same = pod is not None and pod_uid == pod.uid
        world = World(
            sandbox=sandbox,
            class_=self._classes.get(sandbox.spec.class_name),
            pod=pod,
            now=self._now(),
            made=made if uid == sandbox.metadata.uid else None,
            surplus=surplus,
            miss=miss if missed_uid == sandbox.metadata.uid else None,
            refusal=refusal,
            held_back=held_back,
            prepared=prepared,
            evidence=evidence if same else (),
            looked=looked if same else None,
            initialization=self._initializations.result(key, pod) if pod and pod.deferred else None,
            unreported=len(self._untold) - (key in self._untold),
            service=self._services.get(key),
        )
        return plan(world, self._keys)

    def _choose(self, key: str, sandbox: Sandbox) -> tuple[Pod | None, tuple[Pod, ...]]:
        cached = self._stock.owned_by(sandbox.metadata.uid)
        pods = self._expectations.overlay(key, cached, self._now(), asyncio.get_running_loop().time())
        return choose(sandbox, pods, self._keys)

    async def _claim(self, key: str, sandbox: Sandbox, steps: Plan) -> None:
        class_ = self._classes.get(sandbox.spec.class_name)
        if class_ is None:
            return
        claimed = await self._claims.claim(sandbox, class_, self._now())
        if isinstance(claimed, Miss):
            self._missed[key] = (sandbox.metadata.uid, claimed)
            return
        self._expectations.gained(key, claimed, asyncio.get_running_loop().time())
        await self._tell(steps.afterwards)

    async def _look(self, key: str, pod: Pod) -> None:
        """Read the Events about a pod. They only explain, so without them everything goes on."""
        _, _, evidence = self._looked.get(key, _NEVER_LOOKED)
        with self._looks.turn() as is_mine:
            try:
                # The API server looks through all Events of the namespace to find those of one pod.
                evidence = await self._api.evidence(pod.name) if is_mine else evidence
            except (ApiError, aiohttp.ClientError, OSError) as error:
                _log.warning("events not read", sandbox=key, error=str(error) or type(error).__name__)
        self._looked[key] = (pod.uid, self._now(), evidence)

    async def _is_current(self, sandbox: Sandbox) -> bool:
        """Ask before a pod is replaced or ended, since the reason may have gone with what the watch has not told yet.

        What is told instead marks the key again.
        """
        found = await self._api.get(sandbox)
        if found is None:
            self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
            return False
        self._sandboxes.refresh(found)
        return found["metadata"]["resourceVersion"] == sandbox.metadata.resource_version

    async def _is_late(self, key: str, sandbox: Sandbox) -> bool:
        """Whether the pod of the status lives and only the cache lacks it. A claimed pod has a name of its own, so
        that to create another one would not be refused."""
        name, uid = sandbox.status.pod_name, sandbox.status.pod_uid
        pod, _ = self._choose(key, sandbox)
        if not uid or (pod and pod.uid == uid) or not sandbox.status.pool:
            return False
        body = await self._api.get_pod(name)
        found = decode(body) if body else None
        if found is None or found.uid != uid or found.deletion_requested:
            return False
        self._expectations.gained(key, found, asyncio.get_running_loop().time())
        return True

    async def _create(self, key: str, sandbox: Sandbox, creates: Sequence[Create]) -> Refusal | None:
        uid, (pod, _) = sandbox.metadata.uid, self._choose(key, sandbox)
        try:
            outcome = await self._api.create(creates, uid)
        except ApiError as error:
            # What was there has just been collected as garbage: maybe this cache alone still has the sandbox.
            if error.code == 404:
                await self._is_current(sandbox)
            raise
        if outcome.service:
            self._services.made(outcome.service)
        if outcome.pod:
            pod = decode(outcome.pod)
            self._expectations.gained(key, pod, asyncio.get_running_loop().time())
        complete = pod is not None and outcome.refusal is None
        if complete and sandbox.spec.environment_revision:
            await self._drop_former_environments(key, sandbox)
        if outcome.key_id or complete:
            made = times.parse(outcome.volume["metadata"]["creationTimestamp"]) if outcome.volume else None
            self._made[key] = (uid, Made(outcome.key_id, pod.uid if pod and complete else "", made))
        class_ = self._classes.get(sandbox.spec.class_name)
        if class_ and outcome.volume:
            size = growth(class_, outcome.volume)
            refusal = await self._api.grow(outcome.volume, size) if size else ""
            await self._tell(volume_events(sandbox, class_, outcome.volume, self._now(), refusal))
        return outcome.refusal

    async def _drop_former_environments(self, key: str, sandbox: Sandbox) -> None:
        """Only tidies up: the next pod's start does it again."""
        try:
            await self._api.drop_former_environments(sandbox, self._now())
        except (ApiError, aiohttp.ClientError, OSError) as error:
            _log.warning("former environments not deleted", sandbox=key, error=str(error) or type(error).__name__)

    def _begin(self, key: str, sandbox: Sandbox, steps: Plan) -> bool:
        """Begin what agent servers are to be asked beside the workers; False when too many are being asked."""
        if steps.prepare:
            return self._preparations.begin(key, sandbox, steps.prepare.pod, steps.prepare.key_id)
        if steps.initialize:
            return self._initializations.begin(key, sandbox, *steps.initialize)
        return True

    async def _finish(self, key: str, sandbox: Sandbox, steps: Plan) -> None:
        """All of a plan but to look, to create and to prepare."""
        await self._tell(steps.events)
        if steps.status is not None:
            changes = self._definitions.kept("Sandbox", sandbox.status, steps.status)
            if changes and not await self._write(sandbox, self._write_status(sandbox, changes)):
                return
            self._missed.pop(key, None)
            if changes:
                _log.info("status written", sandbox=key, fields=sorted(changes))
        if steps.service:
            await self._serve(key, sandbox, steps.service)
        if steps.unfit:
            self._missed[key] = (sandbox.metadata.uid, Miss(MissReason.INIT_FAILED, steps.unfit))
        if steps.surplus and not await self._is_current(sandbox):
            return
        for pod in (*steps.surplus, *([steps.delete] if steps.delete else ())):
            await self._api.delete_pod(pod)
            self._expectations.deleted(key, pod, asyncio.get_running_loop().time())
        if steps.abandon:
            _log.warning("pod abandoned, its node does not end it", sandbox=key, pod=steps.abandon.name)
            await self._api.abandon_pod(steps.abandon)
        if steps.suspend and not await self._write(sandbox, self._api.suspend(sandbox, "StartTimeout", steps.suspend)):
            return
        if steps.expire:
            await self._api.delete_sandbox(sandbox)
            self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
        await self._tell(steps.afterwards)

    async def _serve(self, key: str, sandbox: Sandbox, change: ServiceChange) -> None:
        """Change the Service. The sandbox itself goes on when that is refused, so an Event says it."""
        if change.delete:
            await self._api.delete_service(change.delete)
            self._services.deleted(change.delete)
        if not change.create:
            return
        outcome = await self._api.create([Create(SERVICES, change.create)], sandbox.metadata.uid)
        if outcome.service:
            self._services.made(outcome.service)
        refusal = outcome.refusal
        if refusal is None:
            return
        _log.warning("service not made", sandbox=key, error=refusal.message)
        await self._api.tell(refused_event(sandbox, refusal.message, self._now()))
        self._queue.add_after(key, _SERVICE_RETRY_SECONDS)

    async def _write_status(self, sandbox: Sandbox, changes: dict[str, Any]) -> KubeObject:
        answer = await self._api.patch_status(sandbox, changes)
        self._definitions.written(changes, answer)
        return answer

    async def _write(self, sandbox: Sandbox, writing: Awaitable[KubeObject]) -> bool:
        """Take in what a write to the Sandbox gives; False when the Sandbox is gone."""
        try:
            self._sandboxes.refresh(await writing)
        except ApiError as error:
            if error.code != 404:
                raise
            self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
            return False
        return True

    async def _tell(self, events: Sequence[KubeObject]) -> None:
        for event in events:
            await self._api.tell(event)

    def _forget(self, key: str) -> None:
        self._missed.pop(key, None)
        self._untold.discard(key)
        self._made.pop(key, None)
        self._looked.pop(key, None)
        self._expectations.forget(key)
        self._services.forget(key)
        self._preparations.take(key)
        self._initializations.forget(key)
        self._ledger.forget(key)
        self._queue.drop(key)

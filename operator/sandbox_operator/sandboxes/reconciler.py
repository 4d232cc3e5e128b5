"""One pass over one sandbox: gather the state, plan, apply. And the workers that make the passes."""

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from weakref import WeakSet

import structlog

from sandbox_common import times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import FAILURES, ApiError, KubeObject
from sandbox_common.kube.resources import PODS, SERVICES, VOLUME_CLAIMS
from sandbox_common.reasons import ExpiryReason
from sandbox_common.waiting import to_the_end
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.limits.start_queue import StartQueue
from sandbox_operator.pools.claim_patch import brings_volume
from sandbox_operator.pools.claims import Claims
from sandbox_operator.pools.matching import Miss, MissReason
from sandbox_operator.pools.pod_index import PodIndex
from sandbox_operator.reporting.pod_events import regarding
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.reporting.suspension import suspension_patch
from sandbox_operator.sandboxes.agent_requests import AgentRequests
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.sandboxes.lives import Lives
from sandbox_operator.sandboxes.lost_answers import Change
from sandbox_operator.sandboxes.memory import Memory, Turn
from sandbox_operator.sandboxes.ownership import choose
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.services import ServiceChange, Services, refused_event
from sandbox_operator.sandboxes.traces import StartTraces, is_traced
from sandbox_operator.sandboxes.volumes import growth, made_at, volume_events
from sandbox_operator.sandboxes.world import Create, Made, World
from sandbox_operator.watching.definitions import Definitions
from sandbox_operator.watching.pace import Pace
from sandbox_operator.watching.pod_expectations import PodExpectations
from sandbox_operator.watching.pods import Pod, decode
from sandbox_operator.watching.pulls import PullUnderWay
from sandbox_operator.watching.queue import WorkQueue
from sandbox_operator.watching.store import Store
from sandbox_operator.watching.workers import work

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_REFUSED_RETRY_SECONDS = 1.0
_FULL_RETRY_SECONDS = 1.0
_SERVICE_RETRY_SECONDS = 60.0
_LATE_SECONDS = 5.0
"""Until the next look at a pod that the cache does not show yet. It may have come and gone."""
_VOLUME_CLAIM = "Sandbox.status.volumeClaim"
"""Without this field, a sandbox would not find its volume again after a suspension."""
_LOOKS_SHARE = 0.1
"""Share of the time for reading Events. When thousands of sandboxes start, all wait long enough for their Events."""


class _OutdatedError(Exception):
    """The Sandbox is gone, or has changed since the plan was made. Another pass follows."""


@contextmanager
def _optional(failure: str, key: str) -> Generator[None]:
    """For requests that the pass does not depend on: a failure is only logged."""
    try:
        yield
    except FAILURES as error:
        _log.warning(failure, sandbox=key, error=str(error) or type(error).__name__)


class Reconciler:
    """Brings sandboxes to their desired state. `now` is the wall clock in UTC.

    `seen()` returns the resource version up to which the index of pods is complete.
    """

    def __init__(
        self,
        api: Api,
        keys: MasterKeys,
        queue: WorkQueue,
        sandboxes: Store[Sandbox],
        classes: Store[SandboxClass],
        pod_index: PodIndex,
        seen: Callable[[], int],
        claims: Claims,
        requests: AgentRequests,
        start_queue: StartQueue,
        services: Services,
        pull_of: Callable[[Sandbox, Pod, datetime], PullUnderWay | None],
        lives: Lives,
        now: Callable[[], datetime] = times.utc_now,
        definitions: Definitions | None = None,
        pull_secrets: Callable[[str], tuple[str, ...]] = lambda _: (),
        traces: StartTraces | None = None,
    ) -> None:
        self._api = api
        self._definitions = definitions or Definitions()
        self._keys = keys
        self._queue = queue
        self._sandboxes = sandboxes
        self._classes = classes
        self._pod_index = pod_index
        self._seen = seen
        self._claims = claims
        self._requests = requests
        self._start_queue = start_queue
        self._services = services
        self._pull_secrets = pull_secrets
        self._pull_of = pull_of
        self._lives = lives
        self._now = now
        self._traces = traces
        self._memories: dict[str, Memory] = {}
        self._unreported: WeakSet[Memory] = WeakSet()
        """Memories of the sandboxes in a passing state that is not reported yet."""
        self._looks = Pace(_LOOKS_SHARE)

    async def work(self) -> None:
        """Take keys from the queue until cancelled. Run several of these side by side."""
        await work(self._queue, self.reconcile, "sandbox")

    async def reconcile(self, key: str) -> None:
        """Make one pass over this sandbox. Raises what Api raises; repeat the pass then."""
        sandbox = self._sandboxes.get(key)
        if sandbox is None:
            self._memories.pop(key, None)
            self._services.forget(key)
            self._start_queue.forget(key)
            self._queue.drop(key)
            return
        memory = self._memories.get(key)
        if memory is None or memory.uid != sandbox.metadata.uid:
            memory = self._memories[key] = Memory(sandbox.metadata.uid, PodExpectations(self._seen))
        turn = Turn(key, sandbox, memory)
        if self._traces and is_traced(sandbox, self._lives.start(sandbox)):
            await self._traced(turn, self._traces)
        else:
            with suppress(_OutdatedError):
                await self._pass(turn)

    async def _traced(self, turn: Turn, traces: StartTraces) -> None:
        turn.spans, began = [], self._now()
        try:
            with suppress(_OutdatedError):
                await self._pass(turn)
        finally:
            traces.passed(turn, began, self._now())

    async def _pass(self, turn: Turn) -> None:
        """Do the steps in order. After a step whose result matters for the plan, make a new plan."""
        turn.prepared, turn.memory.prepared = turn.memory.prepared, ""
        self._decide(turn)
        if turn.steps.restore:
            await self._take_over(turn)
        if starts := turn.steps.starts:
            if ready_at := self._start_queue.ready_at(turn.sandbox, self._now()):
                self._queue.add_after(turn.key, (ready_at - self._now()).total_seconds())
                return
            if held_back := self._start_queue.ask(turn.key, turn.sandbox, self._now()):
                turn.held_back = held_back
                self._decide(turn)
        if turn.steps.claim:
            await self._claim(turn)
        if turn.steps.take:
            await self._take(turn, turn.steps.take)
        if turn.steps.creates:
            await self._create(turn)
        if turn.steps.look:
            await self._look(turn, turn.steps.look)
        # The Sandbox may have changed while the agent server saved its work.
        if turn.prepared and turn.steps.delete:
            await self._confirm(turn.sandbox)
        if turn.refusal or not starts:
            self._start_queue.withdraw(turn.key, turn.sandbox, turn.pod)
        await self._report(turn)
        if turn.steps.service:
            await self._serve(turn, turn.steps.service)
        await self._end(turn)
        self._put_off(turn)

    def _decide(self, turn: Turn) -> None:
        """Choose the sandbox's pod and make the plan from the present state."""
        sandbox, memory = turn.sandbox, turn.memory
        cached = self._pod_index.owned_by(sandbox.metadata.uid)
        pods = memory.expectations.overlay(cached, self._pod_index.get, self._now())
        pod, surplus = choose(sandbox, pods, self._keys, memory.unusable)
        self._start_queue.look(turn.key, sandbox, pod)
        looked, pod_events = memory.pod_events(pod)
        world = World(
            sandbox=sandbox,
            class_=self._classes.get(sandbox.spec.class_name),
            pod=pod,
            now=self._now(),
            made=memory.made,
            surplus=surplus,
            miss=memory.miss,
            refusal=turn.refusal,
            held_back=turn.held_back,
            prepared=turn.prepared,
            pod_events=pod_events,
            looked=looked,
            initialization=memory.initialization(pod),
            unreported=len(self._unreported) - (memory in self._unreported),
            service=self._services.get(turn.key),
            pull_secrets=self._pull_secrets(sandbox.spec.owner),
            pull=self._pull_of(sandbox, pod, self._now()) if pod else None,
            taken=memory.taken,
        )
        turn.pod, turn.steps = pod, plan(world, self._keys)

    async def _take_over(self, turn: Turn) -> None:
        """Take over what the sandbox had before it was restored."""
        former = turn.sandbox.status.sandbox_uid
        turn.refusal = await self._api.take_over(turn.sandbox)
        if turn.refusal:
            self._decide(turn)
        else:
            _log.info("sandbox restored", sandbox=turn.key, former_uid=former, volume=turn.sandbox.status.volume_claim)

    async def _claim(self, turn: Turn) -> None:
        class_ = self._classes.get(turn.sandbox.spec.class_name)
        if class_ is None:
            return
        began = self._now()
        if class_.spec.workspace.persistent and _VOLUME_CLAIM in self._definitions.missing:
            claimed = Miss(MissReason.OTHER, f"The definition of Sandboxes lacks {_VOLUME_CLAIM}.")
        else:
            claimed = await self._claims.claim(turn.sandbox, class_, began)
        if isinstance(claimed, Miss):
            turn.memory.miss = claimed
        else:
            attributes = {"k8s.pod.name": claimed.name, "openhands.sandbox.pool": claimed.pool}
            turn.wrote("claim warm pod", began, self._now(), attributes)
            turn.memory.expectations.created(claimed)
            await self._api.post(*turn.steps.afterwards)
        self._decide(turn)

    async def _take(self, turn: Turn, pod: Pod) -> None:
        """Take over the volume of the claimed pod. If that is impossible, the next pass starts without the pod."""
        if miss := await self._claims.take_volume(pod, turn.sandbox):
            _log.warning("pod lost", sandbox=turn.key, pod=pod.name, error=miss.details)
            turn.memory.miss, turn.memory.unusable = miss, pod.uid
            self._queue.add(turn.key)
            raise _OutdatedError
        turn.memory.taken = pod.uid
        self._decide(turn)

    async def _create(self, turn: Turn) -> None:
        """Make the pod and its objects, unless the Sandbox has changed or only the cache lacks the pod."""
        if turn.sandbox.status.pod_name:
            await self._confirm(turn.sandbox)
        # A claimed pod has its own name, so the API server would not refuse to create a second one.
        if turn.sandbox.status.pool or turn.steps.events:
            await self._confirm_absence(turn)
        await self._api.post(*turn.steps.events)
        attributes = {"openhands.sandbox.objects": ",".join(create.resource.kind for create in turn.steps.creates)}
        began = self._now()
        turn.refusal = await self._make(turn)
        turn.wrote("create objects", began, self._now(), attributes, turn.refusal.reason if turn.refusal else "")
        self._decide(turn)

    async def _look(self, turn: Turn, pod: Pod) -> None:
        """Read the Events about a pod."""
        _, pod_events = turn.memory.pod_events(pod)
        with self._looks.turn() as is_mine, _optional("events not read", turn.key):
            # The API server reads all Events of the namespace to find those of one pod.
            pod_events = await self._api.pod_events(regarding(pod)) if is_mine else pod_events
        turn.memory.looked = pod.uid, self._now(), pod_events
        self._decide(turn)
        if turn.steps.starts:
            # The pod has gone meanwhile. Before another one is made, and the loss reported, its absence is confirmed.
            self._queue.add(turn.key)
            raise _OutdatedError

    async def _report(self, turn: Turn) -> None:
        """Post the Events, and write the status."""
        sandbox, steps = turn.sandbox, turn.steps
        if steps.events:
            # A newer state may say that the operator has ended the pod, whose end the pods' watch shows first.
            await self._confirm(sandbox)
        if steps.status and turn.pod is None:
            await self._confirm_absence(turn)
        await self._api.post(*steps.events)
        if steps.status is None:
            return
        if changes := self._definitions.kept("Sandbox", sandbox.status, steps.status):
            began = self._now()
            await self._write(sandbox, Change("status", changes), self._write_status(sandbox, changes))
            turn.written = changes
            turn.wrote("write status", began, self._now(), _reason(changes))
            _log.info("status written", sandbox=turn.key, fields=sorted(changes))
        turn.memory.miss = None

    async def _serve(self, turn: Turn, change: ServiceChange) -> None:
        """Change the Service. A refusal does not stop the sandbox itself, so an Event reports it."""
        if change.delete:
            await self._api.delete_service(change.delete)
            self._services.deleted(change.delete)
        if not change.create:
            return
        outcome = await self._api.create([Create(SERVICES, change.create)], turn.sandbox.metadata.uid)
        if service := outcome.of(SERVICES):
            self._services.made(service)
        if refusal := outcome.refusal:
            _log.warning("service not made", sandbox=turn.key, error=refusal.message)
            await self._api.post(refused_event(turn.sandbox, refusal.message, self._now()))
            self._queue.add_after(turn.key, _SERVICE_RETRY_SECONDS)

    async def _end(self, turn: Turn) -> None:
        """End pods, the start, or the sandbox."""
        sandbox, steps = turn.sandbox, turn.steps
        if steps.unfit:
            turn.memory.miss = Miss(MissReason.INIT_FAILED, steps.unfit)
        if steps.surplus:
            await self._confirm(sandbox)
        for pod in steps.surplus:
            if brings_volume(sandbox, pod):
                await self._claims.return_volume(pod, sandbox)
        for pod in (*steps.surplus, *([steps.delete] if steps.delete else ())):
            await self._api.delete_pod(pod)
            turn.memory.expectations.deleted(pod)
        if steps.abandon:
            _log.warning("pod abandoned, its node does not end it", sandbox=turn.key, pod=steps.abandon.name)
            await self._api.delete_pod(steps.abandon, grace_seconds=0)
        if steps.suspend:
            patch = suspension_patch(sandbox, "StartTimeout", steps.suspend)
            await self._write(sandbox, Change("spec", patch["spec"]), self._api.suspend(sandbox, patch))
        if steps.expire:
            await to_the_end(self._expire(sandbox, steps.expire))
            # With finalizers, the Sandbox still exists, and the watch shows that it is being deleted.
            if not sandbox.metadata.finalizers:
                self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
        await self._api.post(*steps.afterwards)

    def _put_off(self, turn: Turn) -> None:
        """Begin requests to agent servers in the background, and decide when to look again."""
        if not self._requests.begin(turn):
            self._queue.add_after(turn.key, _FULL_RETRY_SECONDS)
        (self._unreported.add if turn.steps.unreported else self._unreported.discard)(turn.memory)
        if turn.refusal:
            self._queue.retry(turn.key, _REFUSED_RETRY_SECONDS)
        else:
            self._queue.forget(turn.key)
        if turn.steps.requeue_at:
            self._queue.add_after(turn.key, (turn.steps.requeue_at - self._now()).total_seconds())
        if turn.memory.expectations.pending:
            self._queue.add_after(turn.key, _LATE_SECONDS)

    async def _confirm(self, sandbox: Sandbox) -> None:
        """Read the Sandbox before a pod is replaced or ended: it may have changed, and the watch may be late."""
        found = await self._api.get(sandbox)
        if found is None:
            self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
            raise _OutdatedError
        # A newer state adds the key to the queue again.
        self._sandboxes.refresh(found)
        if found["metadata"]["resourceVersion"] != sandbox.metadata.resource_version:
            raise _OutdatedError

    async def _confirm_absence(self, turn: Turn) -> None:
        """Read the status's pod before it counts as gone, if the cache lacks it: its watch may be late."""
        sandbox, pod = turn.sandbox, turn.pod
        uid = sandbox.status.pod_uid
        if not uid or (pod and pod.uid == uid):
            return
        body = await self._api.get_pod(sandbox.status.pod_name)
        found = decode(body) if body else None
        if found and found.uid == uid and found.owner_uid == sandbox.metadata.uid:
            turn.memory.expectations.created(found)
            # If the cache never shows it, such as without its label, the next passes come here again.
            self._queue.retry(turn.key)
            raise _OutdatedError

    async def _make(self, turn: Turn) -> Refusal | None:
        sandbox, memory, pod = turn.sandbox, turn.memory, turn.pod
        try:
            outcome = await self._api.create(turn.steps.creates, sandbox.metadata.uid)
        except ApiError as error:
            # An existing object has just been garbage-collected, so the Sandbox may exist only in this cache.
            if error.code == 404:
                with suppress(_OutdatedError):
                    await self._confirm(sandbox)
            raise
        if service := outcome.of(SERVICES):
            self._services.made(service)
        if body := outcome.of(PODS):
            pod = decode(body)
            memory.expectations.created(pod)
        complete = pod is not None and outcome.refusal is None
        if complete and sandbox.spec.environment_revision:
            with _optional("former environments not deleted", turn.key):
                await self._api.drop_former_environments(sandbox, self._now())
        volume = outcome.of(VOLUME_CLAIMS)
        if outcome.key_id or complete:
            memory.made = Made(outcome.key_id, pod.uid if pod and complete else "", made_at(volume) if volume else None)
        class_ = self._classes.get(sandbox.spec.class_name)
        if class_ and volume:
            size = growth(class_, volume)
            refusal = await self._api.grow(volume, size) if size else ""
            await self._api.post(*volume_events(sandbox, class_, volume, self._now(), refusal))
        return outcome.refusal

    async def _write_status(self, sandbox: Sandbox, changes: dict[str, Any]) -> KubeObject:
        answer = await self._api.patch_status(sandbox, changes)
        self._definitions.written(changes, answer)
        return answer

    async def _write(self, sandbox: Sandbox, change: Change, writing: Awaitable[KubeObject]) -> None:
        """Await a write of this change, take the answer into the cache, and count what has changed."""
        try:
            # A write that has been sent counts, even if this process stops leading before the answer.
            await to_the_end(self._count(sandbox, change, writing))
        except ApiError as error:
            if error.code != 404:
                raise
            self._sandboxes.drop(sandbox.metadata.name, sandbox.metadata.uid)
            raise _OutdatedError from error

    async def _count(self, sandbox: Sandbox, change: Change, writing: Awaitable[KubeObject]) -> None:
        with self._lives.writing(sandbox, change, self._now) as written:
            if stored := self._sandboxes.refresh(await writing):
                written(stored)

    async def _expire(self, sandbox: Sandbox, reason: ExpiryReason) -> None:
        with self._lives.expiring(sandbox, reason, self._now()):
            await self._api.delete_sandbox(sandbox)


def _reason(changes: Mapping[str, Any]) -> dict[str, str]:
    """The reason of the condition `Ready`, if it is among the changes of a status, as the attribute of a span."""
    conditions = changes.get("conditions")
    return {"openhands.sandbox.reason": conditions[0]["reason"]} if conditions else {}

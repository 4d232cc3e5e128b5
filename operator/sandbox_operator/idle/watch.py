"""Looks for idle sandboxes: connects `IdleChecks` to caches, clocks, agent servers and writes."""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import aiohttp
import structlog

from sandbox_common import times
from sandbox_common.kube import FAILURES, Informer, unreadable
from sandbox_common.kube.resources import SANDBOXES
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.agents.agent_server import AgentServers
from sandbox_operator.builders.environment import idle_timeout
from sandbox_operator.builders.event import EventReason, build_event
from sandbox_operator.idle.check import Candidate, Idle, IdleChecks, Replicas
from sandbox_operator.idle.clock import AgentAnswer
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.status import reports
from sandbox_operator.reporting.suspension import suspension_patch
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.watching.pods import Pod, RunId
from sandbox_operator.watching.store import Store

INTERVAL = 14.0
"""Seconds between two checks. The rest of CHECK_SECONDS is for the time of a check and for rounding."""
_SIDE_BY_SIDE = 64

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class IdleWatch:
    """Suspends idle sandboxes. Call `pods_found` once, and `pod_changed` for each change of a pod."""

    def __init__(
        self,
        api: Api,
        agents: AgentServers,
        gateways: Replicas | None,
        sandboxes: Store[Sandbox],
        classes: Store[SandboxClass],
        pods: Informer[Pod],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._agents = agents
        self._sandboxes = sandboxes
        self._classes = classes
        self._pods = pods
        self._clock = clock
        self._checks = IdleChecks(gateways, self, self, clock)
        self._ready_at: dict[str, tuple[RunId, float]] = {}
        self._places = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._seen: dict[str, Sandbox] = {}
        """The candidates of the present check, as they were when it began."""

    def pods_found(self, pods: Iterable[Pod]) -> None:
        """Take the pods that exist at the beginning. It is unknown for how long the ready ones have been ready.

        A claimed pod was not in use before its claim, so the time since then, by the wall clock, bounds its idle time.
        """
        self._ready_at = {pod.name: (pod.run_id, self._claimed_at(pod)) for pod in pods if _is_in_use(pod)}

    def _claimed_at(self, pod: Pod) -> float:
        if pod.claimed is None:
            return -math.inf
        return self._clock() - max((datetime.now(UTC) - pod.claimed).total_seconds(), 0.0)

    def pod_changed(self, name: str, pod: Pod | None) -> None:
        """Note when a run of an agent server becomes ready, or its pod is claimed."""
        if pod is None:
            self._ready_at.pop(name, None)
        elif _is_in_use(pod) and self._ready_at.get(name, (None, 0))[0] != pod.run_id:
            self._ready_at[name] = pod.run_id, self._clock()

    async def run(self) -> None:
        """Run checks until cancelled. The caches must be filled."""
        while True:
            due = self._clock() + INTERVAL
            try:
                await self.check()
            except Exception:
                _log.exception("idle check failed")
            await asyncio.sleep(max(due - self._clock(), 0))

    async def check(self) -> None:
        """Suspend all sandboxes that are idle now."""
        await self._checks.check(self.candidates())

    def candidates(self) -> list[Candidate]:
        """All sandboxes that have a pod and are not to be suspended or deleted."""
        self._seen = {}
        found: list[Candidate] = []
        for sandbox in self._sandboxes:
            try:
                candidate = self._candidate(sandbox)
            except Exception as error:
                # Otherwise one object would prevent the suspension of all others.
                unreadable.report(SANDBOXES, sandbox.metadata.name, error)
                continue
            if candidate:
                found.append(candidate)
                self._seen[candidate.name] = sandbox
        return found

    def _candidate(self, sandbox: Sandbox) -> Candidate | None:
        pod = self._pods.get(sandbox.status.pod_name)
        if pod is None or pod.deletion_requested or not reports(sandbox.status, pod):
            return None
        if sandbox.spec.suspend or sandbox.metadata.deletion_timestamp:
            return None
        timeout = idle_timeout(sandbox, self._classes.get(sandbox.spec.class_name), pod)
        return Candidate(sandbox.metadata.name, pod.run_id, self._readiness(sandbox, pod), timeout)

    def _readiness(self, sandbox: Sandbox, pod: Pod) -> float | None:
        condition = sandbox.status.condition(READY)
        if not pod.is_ready or condition is None or condition.status != "True":
            return None
        run, ready_at = self._ready_at.get(pod.name, (None, -math.inf))
        return ready_at if run == pod.run_id else None

    async def look(self, names: Collection[str]) -> Mapping[str, AgentAnswer]:
        """See `Agents.look`."""
        answers = await asyncio.gather(*(self._look(self._seen[name]) for name in names))
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer}

    async def _look(self, sandbox: Sandbox) -> AgentAnswer | None:
        async with self._places:
            try:
                work = await self._agents.work(sandbox)
            except (aiohttp.ClientError, OSError, LookupError, ValueError) as error:
                name, cause = sandbox.metadata.name, str(error) or type(error).__name__
                _log.info("not known to be idle: its agent server gives no answer", sandbox=name, error=cause)
                return None
        pod = self._pods.get(sandbox.status.pod_name)
        started = pod.container.running_since if pod and pod.container else None
        age = (datetime.now(UTC) - started).total_seconds() if started else None
        return AgentAnswer(self._clock(), work.uptime, work.idle_time, work.running, age)

    async def suspend(self, idle: Sequence[Idle]) -> None:
        """See `Suspender.suspend`."""
        await asyncio.gather(*(self._suspend(entry) for entry in idle))

    async def _suspend(self, idle: Idle) -> None:
        sandbox = self._seen[idle.name]
        now = datetime.now(UTC)
        since = times.rfc3339(now - timedelta(seconds=idle.idle_seconds))
        note = f"Idle since {since}, longer than the {idle.timeout} s of its idle timeout."
        try:
            stored = await self._api.suspend(sandbox, suspension_patch(sandbox, "Idle", note))
        except FAILURES as error:
            # A change of the Sandbox meanwhile wins; the next check looks again.
            _log.info("not suspended", sandbox=idle.name, error=str(error) or type(error).__name__)
            return
        self._sandboxes.refresh(stored)
        _log.info("suspended", sandbox=idle.name, idle_seconds=round(idle.idle_seconds), timeout=idle.timeout)
        event = build_event(
            sandbox, now, type_="Normal", reason=EventReason.SUSPENDED_IDLE, action="Suspend", note=note
        )
        await self._api.post(event)


def _is_in_use(pod: Pod) -> bool:
    return pod.is_ready and not pod.is_free

"""The operator's part that looks for idle sandboxes: its caches, its clocks and its writes around `Checks`."""

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
from sandbox_operator.idle.check import Candidate, Checks, Gateways, Idle
from sandbox_operator.idle.clock import Answer
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.status import reports
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.watching.pods import Pod
from sandbox_operator.watching.store import Store

INTERVAL = 14.0
"""Seconds between two checks: a check's own time and whole seconds of others fit into the rest of CHECK_SECONDS."""
_SIDE_BY_SIDE = 64

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class IdleWatch:
    """Suspends sandboxes that are idle. `pods_found` is called once, `pod_changed` for each change of a pod."""

    def __init__(
        self,
        api: Api,
        agents: AgentServers,
        gateways: Gateways | None,
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
        self._checks = Checks(gateways, self, self, clock)
        self._ready_at: dict[str, tuple[tuple[str, int], float]] = {}
        self._places = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._seen: dict[str, Sandbox] = {}
        """The candidates of the present check, as they were at its beginning."""

    def pods_found(self, pods: Iterable[Pod]) -> None:
        """Take the pods that are there at the beginning; those that are ready have been for who knows how long.

        But a claimed one has not been in use before: the time since its claim, by the wall clock, bounds its idle time.
        """
        self._ready_at = {pod.name: (_run(pod), self._claimed_at(pod)) for pod in pods if _is_in_use(pod)}

    def _claimed_at(self, pod: Pod) -> float:
        if pod.claimed is None:
            return -math.inf
        return self._clock() - max((datetime.now(UTC) - pod.claimed).total_seconds(), 0.0)

    def pod_changed(self, name: str, pod: Pod | None) -> None:
        """Note when a run of an agent server becomes ready, or its pod is claimed."""
        if pod is None:
            self._ready_at.pop(name, None)
        elif _is_in_use(pod) and self._ready_at.get(name, (None, 0))[0] != _run(pod):
            self._ready_at[name] = _run(pod), self._clock()

    async def run(self) -> None:
        """Check until cancelled. The caches must be filled."""
        while True:
            due = self._clock() + INTERVAL
            try:
                await self.check()
            except Exception:
                _log.exception("idle check failed")
            await asyncio.sleep(max(due - self._clock(), 0))

    async def check(self) -> None:
        """Suspend all that are idle now."""
        await self._checks.check(self.candidates())

    def candidates(self) -> list[Candidate]:
        """All sandboxes that have a pod and are to go on."""
        self._seen = {}
        found: list[Candidate] = []
        for sandbox in self._sandboxes:
            try:
                candidate = self._candidate(sandbox)
            except Exception as error:
                # Otherwise one object would keep all others from being suspended.
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
        timeout = idle_timeout(sandbox, self._classes.get(sandbox.spec.class_name))
        return Candidate(sandbox.metadata.name, _run(pod), self._readiness(sandbox, pod), timeout)

    def _readiness(self, sandbox: Sandbox, pod: Pod) -> float | None:
        condition = sandbox.status.condition(READY)
        if not pod.is_ready or condition is None or condition.status != "True":
            return None
        run, ready_at = self._ready_at.get(pod.name, (None, -math.inf))
        return ready_at if run == _run(pod) else None

    async def look(self, names: Collection[str]) -> Mapping[str, Answer]:
        """As `Agents.look`."""
        answers = await asyncio.gather(*(self._look(self._seen[name]) for name in names))
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer}

    async def _look(self, sandbox: Sandbox) -> Answer | None:
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
        return Answer(self._clock(), work.uptime, work.idle_time, work.running, age)

    async def suspend(self, idle: Sequence[Idle]) -> None:
        """As `Suspender.suspend`."""
        await asyncio.gather(*(self._suspend(entry) for entry in idle))

    async def _suspend(self, idle: Idle) -> None:
        sandbox = self._seen[idle.name]
        now = datetime.now(UTC)
        since = times.rfc3339(now - timedelta(seconds=idle.idle_seconds))
        note = f"Idle since {since}, longer than the {idle.timeout} s of its idle timeout."
        try:
            stored = await self._api.suspend(sandbox, "Idle", note)
        except FAILURES as error:
            # Whatever has changed the Sandbox meanwhile wins; the next check looks again.
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


def _run(pod: Pod) -> tuple[str, int]:
    return pod.uid, pod.container.restarts if pod.container else 0

"""A world in which time is a number: sandboxes, gateway replicas and operators that come and go.

The operator's decisions and the replicas' memory are the real ones (`Checks`, `Activity`); clients, agent servers and
clocks are simulated. The truth is kept beside them and compared with each decision:

* No sandbox is suspended while an exchange is in flight or a conversation runs, or sooner than its timeout after its
  readiness, a counted request or an event of its agent.
* Each is suspended at the first check at which it has been idle for its timeout, unless the replicas have changed
  within two checks or one of them does not answer. Where clocks were moved or an operator is new, it may count from
  later on, as far as `_idle_since` says.

Two tolerances, which are counted: what a replica has served since its last report, or before its first, is lost when it
is killed within one check, or within two if it did not answer (`SimulatedGateway._lost_until`); and a clock that was
moved before an operator first saw a sandbox shows only by the container's age on that operator's own wall clock
(`SimulatedSandbox.hidden`).
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from sandbox_common.activity import CHECK_SECONDS, Report
from sandbox_operator.idle.check import Candidate, Idle, IdleChecks
from sandbox_operator.idle.clock import AgentAnswer
from sandbox_operator.idle.watch import INTERVAL
from unit.sandbox_operator.idle.events import Events
from unit.sandbox_operator.idle.simulated_agents import SimulatedAgents, SimulatedSandbox
from unit.sandbox_operator.idle.simulated_gateway import SimulatedGateway
from unit.sandbox_operator.idle.timelines import Tally, ViolationError, WallClock, World

PAUSE = 2 * CHECK_SECONDS
LOST = 2.5 * CHECK_SECONDS
OVERLAP = 600.0


class Simulation:
    """Runs one world. Raises ViolationError."""

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._events = Events()
        node, operator = WallClock(world.node_moves), WallClock(world.operator_moves)
        self._moved_at = max(node.last_move, operator.last_move)
        self._agents = SimulatedAgents(self._events, list(world.plans), node, operator)
        self._sandboxes = self._agents.sandboxes
        self._gateway = SimulatedGateway(self._events, world, self._sandboxes, INTERVAL)
        self._lag = 0.0
        self._operator = 0
        self._begin_operator()
        tally.timelines += len(self._sandboxes)

    def _begin_operator(self) -> None:
        self._operator += 1
        self._started_at = self._events.now
        # Monotonic clocks of different processes have nothing to do with each other.
        self._origin = 1000.0 * self._operator - self._events.now
        self._checks = IdleChecks(self, self, self, self._clock)
        # The truth about what this operator can know.
        self._visible: frozenset[tuple[str, int]] = frozenset()
        self._heard: dict[str, int] = {}
        self._told_at: dict[str, float] = {}
        self._blocked_until = math.inf
        self._complete_at = math.inf
        self._youngest_at = -math.inf
        self._lost_until = -math.inf

    def _clock(self) -> float:
        return self._events.now + self._lag + self._origin

    def run(self) -> None:
        """To the world's end."""
        world, events = self._world, self._events
        absences = list(world.absences)
        check_at = world.phase
        while check_at <= world.end:
            if absences and absences[0][0] <= check_at:
                ends_at, check_at = absences.pop(0)
                events.advance(ends_at)
                self._gateway.followed = False
                events.advance(check_at)
                self._begin_operator()
            events.advance(check_at)
            self._check()
            check_at += INTERVAL

    def _check(self) -> None:
        self._look_around()
        with suppress(StopIteration):
            self._checks.check(self._candidates()).send(None)
        self._lag = 0.0
        self._tally.checks += 1
        if self._events.now >= self._blocked_until:
            for sandbox in self._sandboxes:
                self._must_not_be_kept(sandbox)

    # What the operator asks and does

    def _candidates(self) -> list[Candidate]:
        found: list[Candidate] = []
        now = self._events.now
        for sandbox in self._sandboxes:
            if sandbox.suspended or now < sandbox.container_at:
                continue
            ready_at = None
            if now >= sandbox.ready_at:
                ready_at = sandbox.ready_at + self._origin if self._saw_readiness(sandbox) else -math.inf
            found.append(Candidate(sandbox.name, ("pod", sandbox.run), ready_at, sandbox.plan.timeout))
        return found

    def _saw_readiness(self, sandbox: SimulatedSandbox) -> bool:
        return sandbox.ready_at > self._started_at

    async def reports(self, within: Callable[[str], float | None]) -> Mapping[str, Report | None]:
        """As Gateways."""
        gateway = self._gateway
        gateway.followed = True
        answers = {replica.address: gateway.report(replica, within(replica.address)) for replica in gateway.listed()}
        self._lag += self._world.latency
        return answers

    async def look(self, names: Collection[str]) -> Mapping[str, AgentAnswer]:
        """As Agents."""
        self._lag += self._world.latency
        at = self._clock()
        answers = {name: self._agents.answer(name, at, self._operator) for name in names}
        return {name: answer for name, answer in answers.items() if answer}

    async def suspend(self, idle: Sequence[Idle]) -> None:
        """As Suspender; a busy sandbox is a violation."""
        for entry in idle:
            sandbox = self._sandboxes[int(entry.name[1:])]
            self._must_be_idle(sandbox)
            sandbox.suspended = True
            self._tally.suspended += 1

    # The truth

    def _look_around(self) -> None:
        """What makes suspension wait."""
        now, listed, answers = self._events.now, self._gateway.listed(), self._gateway.answers
        for replica in listed:
            # A silent one may have been started anew: that shows when it answers.
            if answers(replica) or replica.address not in self._heard:
                self._heard[replica.address] = replica.number
        visible = frozenset((replica.address, self._heard[replica.address]) for replica in listed)
        if visible != self._visible:
            if any(now - self._told_at.get(address, -math.inf) > LOST for address, _ in self._visible - visible):
                self._lost_until = now
            self._blocked_until = now + PAUSE
        if not all(map(answers, listed)) or not listed:
            self._blocked_until = max(self._blocked_until, now + 1)
        elif self._complete_at == math.inf:
            self._complete_at = now
        if now <= self._complete_at + PAUSE:
            self._youngest_at = max([self._youngest_at, *(replica.born_at for replica in listed if answers(replica))])
        self._visible = visible
        for replica in listed:
            if answers(replica):
                self._told_at[replica.address] = now

    def _must_be_idle(self, sandbox: SimulatedSandbox) -> None:
        if sandbox.flights or sandbox.running:
            raise self._violation(sandbox, "suspended while it was busy")
        now, timeout = self._events.now + self._lag, sandbox.plan.timeout
        used_at = max(sandbox.event_at - sandbox.hidden, sandbox.told_at)
        if self._saw_readiness(sandbox):
            used_at = max(used_at, sandbox.ready_at)
        if now - used_at < timeout - 1e-6:
            raise self._violation(sandbox, f"suspended {now - used_at:.3f} s after its last use")
        self._tally.lost_by_kill += now - sandbox.traffic_at < timeout - 1e-6
        self._tally.hidden_by_move += now - sandbox.event_at < timeout - 1e-6

    def _must_not_be_kept(self, sandbox: SimulatedSandbox) -> None:
        now, timeout = self._events.now, sandbox.plan.timeout
        if sandbox.suspended or sandbox.flights or sandbox.running or now < sandbox.ready_at + timeout:
            return
        since = self._idle_since(sandbox)
        # The agent server rounds to whole seconds.
        if now - since >= timeout + 1:
            raise self._violation(sandbox, f"kept though idle for {now - since:.3f} s")

    def _idle_since(self, sandbox: SimulatedSandbox) -> float:
        timeout, deaf = sandbox.plan.timeout, sandbox.plan.deaf
        since = max(sandbox.ready_at, sandbox.event_at, sandbox.traffic_at, sandbox.ended_at, self._lost_until)
        if deaf[0] <= self._events.now:
            since = max(since, deaf[1])
        if self._complete_at - self._youngest_at < timeout + OVERLAP:
            # A replica was replaced shortly before this operator came: it counts from its own beginning.
            since = max(since, self._complete_at)
        if self._moved_at > -math.inf:
            # What the first look cannot tell counts from it; what a later one cannot, from a timeout later.
            first_look = max(self._started_at, sandbox.ready_at, deaf[1] if deaf[0] <= self._events.now else -math.inf)
            since = max(since, first_look + INTERVAL)
            if self._moved_at > sandbox.process_at:
                since = max(since, self._moved_at, self._blocked_until) + 2 * (timeout + CHECK_SECONDS)
        return since

    def _violation(self, sandbox: SimulatedSandbox, what: str) -> ViolationError:
        return ViolationError(f"{sandbox.name} at {self._events.now:.3f}: {what}\n{sandbox.plan}")

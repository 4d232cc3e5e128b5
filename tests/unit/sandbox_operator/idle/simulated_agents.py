"""Sandboxes with agent servers as simulated: what they do, and what they would answer."""

import math
from dataclasses import dataclass

from sandbox_operator.idle.clock import AgentAnswer
from unit.sandbox_operator.idle.events import Events
from unit.sandbox_operator.idle.timelines import Plan, WallClock

LONGEST_BOOT = 60.0
"""By how much an operator that is new lets wall clocks disagree."""


@dataclass(slots=True, eq=False)
class SimulatedSandbox:
    """The truth about one sandbox, in seconds of true time."""

    plan: Plan
    index: int
    name: str
    process_at: float
    container_at: float
    ready_at: float
    event_at: float
    """The last event of the agent server, or its start."""
    event_wall: float
    """The same as its node's clock showed it."""
    run: int = 0
    running: int = 0
    ended_at: float = -math.inf
    """When a conversation last ended."""
    flights: int = 0
    traffic_at: float = -math.inf
    """The last counted request."""
    told_at: float = -math.inf
    """The same without what a killed replica has taken with it."""
    seen_by: int = -1
    hidden: float = 0.0
    """By how much the last event may seem older than it is to an operator that came after the clock had been moved."""
    suspended: bool = False


class SimulatedAgents:
    """All agent servers, on one node with one wall clock."""

    def __init__(self, events: Events, plans: list[Plan], node: WallClock, operator: WallClock) -> None:
        self._events = events
        self._node = node
        self._operator = operator
        self._moved = max(node.last_move, operator.last_move) > -math.inf
        self.sandboxes = [self._sandbox(index, plan) for index, plan in enumerate(plans)]

    def _sandbox(self, index: int, plan: Plan) -> SimulatedSandbox:
        start = plan.started_at
        wall = start + self._node.ahead(start)
        sandbox = SimulatedSandbox(plan, index, f"s{index}", start, start - plan.boot, start + 2, start, wall)
        at = self._events.at
        for time in plan.restarts:
            at(time, self._restart, sandbox)
        for begin, end, moments in plan.conversations:
            at(begin, self._begin, sandbox)
            for time in moments:
                at(time, self._event, sandbox)
            at(end, self._end, sandbox)
        for time in plan.commands:
            at(time, self._event, sandbox)
        return sandbox

    def _restart(self, sandbox: SimulatedSandbox) -> None:
        sandbox.container_at = self._events.now
        sandbox.process_at = sandbox.event_at = self._events.now + sandbox.plan.boot
        sandbox.event_wall = sandbox.process_at + self._node.ahead(sandbox.process_at)
        sandbox.ready_at = sandbox.process_at + 2
        sandbox.run += 1
        sandbox.running = 0

    def _begin(self, sandbox: SimulatedSandbox) -> None:
        if self._events.now >= sandbox.ready_at:
            sandbox.running += 1
            self._event(sandbox)

    def _end(self, sandbox: SimulatedSandbox) -> None:
        if sandbox.running:
            sandbox.running -= 1
            sandbox.ended_at = self._events.now

    def _event(self, sandbox: SimulatedSandbox) -> None:
        now = self._events.now
        if now >= sandbox.ready_at:
            sandbox.event_at = now
            sandbox.event_wall = now + self._node.ahead(now)
            sandbox.hidden = 0.0

    def answer(self, name: str, at: float, operator: int) -> AgentAnswer | None:
        """What one answers, stamped with the operator's own time; `operator` tells operators apart."""
        sandbox = self.sandboxes[int(name[1:])]
        now = self._events.now
        deaf_from, deaf_until = sandbox.plan.deaf
        if deaf_from <= now < deaf_until:
            return None
        wall = now + self._node.ahead(now)
        uptime = int(wall - sandbox.process_at - self._node.ahead(sandbox.process_at))
        started = math.floor(sandbox.container_at + self._node.ahead(sandbox.container_at))
        age = now + self._operator.ahead(now) - started
        if sandbox.seen_by != operator:
            sandbox.seen_by = operator
            if self._moved and -2 <= age - uptime <= LONGEST_BOOT:
                moved = self._node.ahead(now) - self._node.ahead(sandbox.event_at)
                overlooked = sandbox.plan.boot + age - (now - sandbox.container_at)
                sandbox.hidden = max(min(moved, overlooked + 3.0), 0.0)
        return AgentAnswer(at, uptime, int(wall - sandbox.event_wall), sandbox.running, age)

"""A gateway whose replicas come and go, with the real memory of each of them."""

import math
from dataclasses import dataclass, field

from sandbox_common.activity import CHECK_SECONDS, Report
from sandbox_gateway.process.activity import Activity
from unit.sandbox_operator.idle.events import Events
from unit.sandbox_operator.idle.simulated_agents import SimulatedSandbox
from unit.sandbox_operator.idle.timelines import Replacement, World

FOLLOWED = 2 * CHECK_SECONDS
HAND_OVER = 1.25 * CHECK_SECONDS


@dataclass(slots=True, eq=False)
class SimulatedReplica:
    """One process at an address."""

    address: str
    number: int
    activity: Activity
    born_at: float
    listed_at: float
    silent_until: float = -math.inf
    serving: bool = True
    alive: bool = True
    flights: int = 0
    told_at: float = -math.inf
    untold: dict[int, float] = field(default_factory=dict[int, float])
    """What it has served since its last report, by sandbox."""


class SimulatedGateway:
    """All replicas."""

    def __init__(self, events: Events, world: World, sandboxes: list[SimulatedSandbox], interval: float) -> None:
        self._events = events
        self._sandboxes = sandboxes
        self._interval = interval
        self._number = 0
        self._flights: dict[int, tuple[SimulatedSandbox, SimulatedReplica]] = {}
        self._flight = 0
        self.followed = False
        """Whether there is an operator that has asked."""
        self._replicas: list[SimulatedReplica] = []
        for age in world.replicas:
            events.now -= age
            self._join(f"r{self._number}").serving = True
            events.now += age
        self._slots = list(self._replicas)
        for replacement in world.replacements:
            events.at(replacement.at, self._replace, replacement)
        for at, until, index in world.silences:
            events.at(at, self._fall_silent, index, until)
        for sandbox in sandboxes:
            for start, end, pick in sandbox.plan.requests:
                events.at(start, self._request, sandbox, end, pick)
            for at, pick in sandbox.plan.handshakes:
                events.at(at, self._handshake, sandbox, pick)

    def listed(self) -> list[SimulatedReplica]:
        """Those that the operator finds."""
        return [replica for replica in self._replicas if replica.listed_at <= self._events.now]

    def answers(self, replica: SimulatedReplica) -> bool:
        """Whether the operator gets a report."""
        return replica.alive and replica.silent_until <= self._events.now

    def report(self, replica: SimulatedReplica, within: float | None) -> Report | None:
        """As the replica answers."""
        if not self.answers(replica):
            return None
        replica.told_at = self._events.now
        self._tell(replica)
        return replica.activity.report(within)

    # Traffic

    def _pick(self, number: int) -> SimulatedReplica | None:
        serving = [replica for replica in self._replicas if replica.serving]
        return serving[number % len(serving)] if serving else None

    def _note(self, sandbox: SimulatedSandbox, replica: SimulatedReplica) -> None:
        sandbox.traffic_at = replica.untold[sandbox.index] = self._events.now

    def _request(self, sandbox: SimulatedSandbox, end: float, pick: int) -> None:
        replica = self._pick(pick)
        if replica is None or sandbox.suspended:
            return
        replica.activity.begin(sandbox.name)
        replica.flights += 1
        sandbox.flights += 1
        self._note(sandbox, replica)
        self._flight += 1
        self._flights[self._flight] = sandbox, replica
        self._events.at(end, self._request_end, self._flight)

    def _request_end(self, flight: int) -> None:
        if flight not in self._flights:
            return
        sandbox, replica = self._flights.pop(flight)
        sandbox.flights -= 1
        replica.flights -= 1
        replica.activity.end(sandbox.name)
        self._note(sandbox, replica)

    def _handshake(self, sandbox: SimulatedSandbox, pick: int) -> None:
        replica = self._pick(pick)
        if replica and not sandbox.suspended:
            replica.activity.touch(sandbox.name)
            self._note(sandbox, replica)

    # Replicas

    def _join(self, address: str, listed_at: float = -math.inf) -> SimulatedReplica:
        """A new replica, serving after 2 s."""
        self._number += 1
        now = self._events.now
        activity = Activity(lambda: self._events.now)
        replica = SimulatedReplica(address, self._number, activity, now, listed_at, serving=False)
        self._replicas.append(replica)
        self._events.at(now + 2, self._serve, replica)
        return replica

    def _serve(self, replica: SimulatedReplica) -> None:
        replica.serving = replica.alive

    def _replace(self, replacement: Replacement) -> None:
        index = replacement.index % len(self._slots)
        old = self._slots[index]
        if not old.serving:
            return
        if replacement.gracefully:
            # As a rolling update does: the new one serves before the old one is told to end.
            self._slots[index] = self._join(f"r{self._number}")
            self._events.at(self._events.now + 6, self._drain, old, replacement.delay)
            return
        self._die(old, in_place=replacement.in_place)
        if replacement.in_place:
            self._events.at(self._events.now + replacement.delay, self._reborn, old, index)
        else:
            unlisted_at = self._events.now + replacement.delay
            listed_at = unlisted_at + replacement.gap if replacement.gap else -math.inf
            if old.listed_at > self._events.now:
                # It is never listed, and the next one is in its stead: clients find replicas as the operator does.
                unlisted_at, listed_at = self._events.now, old.listed_at
            self._events.at(unlisted_at, self._replicas.remove, old)
            self._slots[index] = self._join(f"r{self._number}", listed_at)

    def _fall_silent(self, index: int, until: float) -> None:
        self._slots[index % len(self._slots)].silent_until = until

    def _reborn(self, old: SimulatedReplica, index: int) -> None:
        self._replicas.remove(old)
        self._slots[index] = self._join(old.address)

    def _drain(self, replica: SimulatedReplica, grace: float) -> None:
        if replica.alive:
            replica.serving = False
            self._drained(replica, self._events.now + grace)

    def _drained(self, replica: SimulatedReplica, deadline: float) -> None:
        now = self._events.now
        if replica.flights and now < deadline:
            self._events.at(now + 1, self._drained, replica, deadline)
            return
        self._cut(replica)
        asked = now - replica.told_at <= FOLLOWED
        self._hand_over(replica, now, now + min(HAND_OVER, deadline - now) if asked else now)

    def _hand_over(self, replica: SimulatedReplica, since: float, deadline: float) -> None:
        now = self._events.now
        if replica.told_at <= since and now < deadline:
            self._events.at(min(now + 1, deadline), self._hand_over, replica, since, deadline)
            return
        self._die(replica)
        self._replicas.remove(replica)

    def _cut(self, replica: SimulatedReplica) -> None:
        for flight in [number for number, (_, at) in self._flights.items() if at is replica]:
            self._request_end(flight)

    def _die(self, replica: SimulatedReplica, *, in_place: bool = False) -> None:
        self._cut(replica)
        replica.alive = replica.serving = False
        if not self.followed or self._events.now > self._lost_until(replica, in_place=in_place):
            # An operator that could not get its last words must not need them.
            self._tell(replica)

    def _lost_until(self, replica: SimulatedReplica, *, in_place: bool) -> float:
        """Until when its end takes with it what it has not told."""
        if replica.told_at > -math.inf:
            return replica.told_at + (self._interval if replica.silent_until < replica.told_at else 2 * self._interval)
        # One that never answered and comes back at its address cannot be told from one that starts slowly.
        return math.inf if in_place else max(replica.born_at, replica.listed_at) + self._interval

    def _tell(self, replica: SimulatedReplica) -> None:
        for index, at in replica.untold.items():
            sandbox = self._sandboxes[index]
            sandbox.told_at = max(sandbox.told_at, at)
        replica.untold.clear()

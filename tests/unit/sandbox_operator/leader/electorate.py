"""Several candidates, one Lease and everything that may come between them, as a game with dice and a true clock.

Requests are delayed, lost before or after they took effect, or take effect long after their sender gave them up. News
of a watch come late. Clocks start anywhere and run at different rates. Processes stop at any point, for any time.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from sandbox_operator.leader.election import Election, LeaseRecord, Read, Timing, Wait, Write

TICK = 0.01


@dataclass
class Dice:
    """What may happen. `trouble` is the share of requests that something happens to."""

    draw: random.Random
    trouble: float

    def delay(self) -> float:
        """Seconds of one way."""
        if self.draw.random() < self.trouble:
            return self.draw.choice([0.3, 1.0, 3.0, 9.0, 20.0]) * self.draw.random()
        return 0.01 * self.draw.random()

    def lost(self) -> bool:
        """Whether a message gets lost."""
        return self.draw.random() < self.trouble / 3


class Server:
    """The Lease, and what is to happen at which true time."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.now = 0.0
        self.lease: LeaseRecord | None = None
        self.watchers: list[Callable[[LeaseRecord], None]] = []
        self._versions = itertools.count(1)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do this after so many true seconds."""
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), action))

    def run_until(self, time: float) -> None:
        """Do all that is due."""
        while self._agenda and self._agenda[0][0] <= time:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = time

    def put(self, base: int | None, record: LeaseRecord) -> LeaseRecord | None:
        """Store it if the Lease is still of this version; None is a conflict."""
        if (self.lease.version if self.lease else None) != base:
            return None
        self.lease = stored = replace(record, version=next(self._versions))
        for tell in self.watchers:
            if not self.dice.lost():
                self.later(self.dice.delay(), lambda tell=tell: tell(stored))
        return stored


class Candidate:
    """One process. It looks at the world each tick of the true clock, unless it is stopped."""

    def __init__(self, name: str, server: Server, timing: Timing, rate: float) -> None:
        self.name = name
        self.election = Election(name, timing)
        self.stopped_until = 0.0
        self.resigned = False
        self._server = server
        self._timing = timing
        self._rate = rate
        self._offset = server.dice.draw.uniform(-1e6, 1e6)
        self._inbox: list[Callable[[], None]] = []
        self._request = 0
        self._gives_up_at: float | None = None
        server.watchers.append(lambda record: self._inbox.append(lambda: self.election.observe(record, self.clock())))

    def clock(self) -> float:
        """Its own time."""
        return self._offset + self._rate * self._server.now

    @property
    def may_write(self) -> bool:
        """Whether a write would be let through, if it got to it now."""
        return self.election.leads(self.clock())

    def tick(self) -> None:
        """What it does when it gets to run."""
        if self._server.now < self.stopped_until:
            return
        inbox, self._inbox = self._inbox, []
        for take in inbox:
            take()
        now = self.clock()
        if self._gives_up_at is not None:
            if now >= self._gives_up_at:
                self._gives_up_at = None
                self._request += 1
                self.election.failed(now)
            return
        step = self.election.step(now)
        if self.resigned or isinstance(step, Wait):
            return
        self._gives_up_at = now + self._timing.call
        self._request += 1
        self._send(step, self._request, now)

    def release(self) -> None:
        """Give the Lease back, as a process does at its end."""
        self.resigned = True
        self.election.resign()
        held = self.election.record
        if held and held.holder == self.name:
            free = LeaseRecord(0, "", 1, held.transitions)
            self._server.later(self._server.dice.delay(), lambda: self._server.put(held.version, free) and None)

    def _send(self, step: Read | Write, number: int, sent_at: float) -> None:
        server = self._server

        def answer(take: Callable[[], None]) -> None:
            def arrive() -> None:
                # An answer to a request that was given up is dropped with its connection.
                self._inbox.append(lambda: self._answered(take) if number == self._request else None)

            if not server.dice.lost():
                server.later(server.dice.delay(), arrive)

        def read() -> None:
            seen = server.lease
            if seen is None:
                answer(lambda: self.election.absent(self.clock()))
            else:
                answer(lambda: self.election.observe(seen, self.clock()))

        def write() -> None:
            assert isinstance(step, Write)
            base = step.base
            transitions = base.transitions + (base.holder != self.name) if base else 0
            wanted = LeaseRecord(0, self.name, self._timing.duration, transitions)
            stored = server.put(base.version if base else None, wanted)
            if stored is None:
                answer(self.election.doubt)
            else:
                answer(lambda: self.election.written(stored, sent_at, self.clock()))

        if not server.dice.lost():
            server.later(server.dice.delay(), read if isinstance(step, Read) else write)

    def _answered(self, take: Callable[[], None]) -> None:
        self._gives_up_at = None
        take()

"""The election as one candidate sees it, without I/O. All times are seconds of the candidate's own monotonic clock.

The rules are those of client-go's `tools/leaderelection`: a candidate never compares a time in the Lease with its own
clock. It notes when it has *seen* the Lease change, and takes over when no change was seen for the Lease's duration.

A leader may write until its *fence*: its deadline, counted from the moment at which the last renewal that succeeded was
*sent*. Nobody can have seen that renewal earlier, so whoever takes over does so a whole duration later at the earliest.
The time between deadline and duration is for clocks that run at different rates, and for a write that has left the
leader just before its fence.
"""

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `duration`: of the lease. `renew`: between two renewals. `deadline`: without one that succeeds."""

    duration: int
    renew: float
    deadline: float

    @property
    def retry(self) -> float:
        """Until the next attempt after one that failed."""
        return self.renew / 4

    @property
    def call(self) -> float:
        """For one request: two fit between the time of a renewal and the deadline."""
        return (self.deadline - self.renew) / 2


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says. `version` is its resource version, a number that grows; nobody holds it if `holder` is ""."""

    version: int
    holder: str
    duration: float
    transitions: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is to be done before this time, unless something new is observed."""

    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """The Lease is to be read."""


@dataclass(frozen=True, slots=True)
class Write:
    """The Lease is to be taken or renewed, if it is still `base`; created, if that is None."""

    base: Record | None


type Step = Wait | Read | Write

READ: Final = Read()


class Election:
    """State of one candidate. `identity` must be its own alone, and new for each process."""

    def __init__(self, identity: str, timing: Timing) -> None:
        self._identity = identity
        self._timing = timing
        self._record: Record | None = None
        self._seen_at = -math.inf
        self._certain = False
        self._due = -math.inf
        self._renewed_at = -math.inf
        self._fence = -math.inf

    @property
    def record(self) -> Record | None:
        """The Lease as last seen; None when there was none."""
        return self._record

    @property
    def certain(self) -> bool:
        """Whether the Lease is as it was last seen, for all that is known."""
        return self._certain

    @property
    def fence(self) -> float:
        """Until when this candidate may write; in the past when it is no leader."""
        return self._fence

    def leads(self, now: float) -> bool:
        """Whether this candidate may write."""
        return now < self._fence

    def step(self, now: float) -> Step:
        """What is to be done next, to become or to stay the leader."""
        if now < self._due:
            return Wait(self._due)
        if not self._certain:
            return READ
        free_at = self._free_at(now)
        return Wait(free_at) if now < free_at else Write(self._record)

    def _free_at(self, now: float) -> float:
        record = self._record
        if record is None or not record.holder:
            return -math.inf
        if record.holder == self._identity:
            return self._renewed_at + self._timing.renew if self.leads(now) else -math.inf
        return self._seen_at + record.duration

    def observe(self, record: Record, now: float) -> None:
        """The Lease has been in this state, by an answer or a watch; an older state than the known one is nothing."""
        if self._record is not None and record.version < self._record.version:
            return
        # One version is read otherwise only by who has learned that its own account is another one.
        if record != self._record:
            self._record, self._seen_at = record, now
        self._certain = True
        if record.holder != self._identity:
            self._fence = -math.inf
            if not record.holder:
                self._due = -math.inf

    def absent(self, now: float) -> None:
        """A read has shown that there is no Lease. Whoever had held it may not know yet, and is given its time."""
        if self._record is not None and self._record.holder not in {"", self._identity}:
            self._due = max(self._due, now + self._record.duration)
        self._record, self._certain = None, True

    def doubt(self) -> None:
        """The Lease may be other than it was seen last: it is read before the next attempt."""
        self._certain = False

    def written(self, record: Record, sent_at: float, now: float) -> None:
        """A write that was sent at `sent_at` has succeeded, and the Lease is this record."""
        self.observe(record, now)
        if self._record == record and record.holder == self._identity:
            self._renewed_at = sent_at
            self._fence = max(self._fence, sent_at + self._timing.deadline)

    def failed(self, now: float) -> None:
        """A request has failed, and nobody knows what has come of it."""
        self._certain = False
        self._due = now + self._timing.retry

    def resign(self) -> None:
        """Write no more."""
        self._fence = -math.inf

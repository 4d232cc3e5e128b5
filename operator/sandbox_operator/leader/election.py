"""The election as one candidate sees it, without I/O. All times are seconds of the candidate's own monotonic clock.

The rules are those of client-go's `tools/leaderelection`: a candidate never compares a time in the Lease with its own
clock. It notes when it has *seen* the Lease change, and takes over after no change for the Lease's duration.

A leader may write until its *fence*: its deadline, counted from the moment when it *sent* the last successful renewal.
No candidate can have seen that renewal earlier, so another one takes over a whole duration later at the earliest. The
time between deadline and duration allows for clocks that run at different rates, and for a write that the leader sent
just before its fence.
"""

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: `duration` of the lease, `renew` between two renewals, `deadline` without a successful renewal."""

    duration: int
    renew: float
    deadline: float

    @property
    def retry(self) -> float:
        """Seconds between a failed attempt and the next one."""
        return self.renew / 4

    @property
    def call(self) -> float:
        """Timeout of one request. Two requests fit between the time of a renewal and the deadline."""
        return (self.deadline - self.renew) / 2


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A decoded Lease. `version` is its resource version, a growing number. The Lease is free if `holder` is ""."""

    version: int
    holder: str
    duration: float
    transitions: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before this time, unless something new is observed."""

    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read the Lease."""


@dataclass(frozen=True, slots=True)
class Write:
    """Take or renew the Lease if it is still `base`; create it if `base` is None."""

    base: LeaseRecord | None


type Step = Wait | Read | Write

READ: Final = Read()


class Election:
    """State of one candidate. `identity` must be unique, and new for each process."""

    def __init__(self, identity: str, timing: Timing) -> None:
        self._identity = identity
        self._timing = timing
        self._record: LeaseRecord | None = None
        self._seen_at = -math.inf
        self._certain = False
        self._due = -math.inf
        self._renewed_at = -math.inf
        self._fence = -math.inf

    @property
    def record(self) -> LeaseRecord | None:
        """The Lease as last seen; None if there was none."""
        return self._record

    @property
    def certain(self) -> bool:
        """Whether nothing suggests that the Lease has changed since it was last seen."""
        return self._certain

    @property
    def fence(self) -> float:
        """Time until which this candidate may write; in the past if it does not lead."""
        return self._fence

    def leads(self, now: float) -> bool:
        """Whether this candidate may write."""
        return now < self._fence

    def step(self, now: float) -> Step:
        """The next step to become or stay the leader."""
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

    def observe(self, record: LeaseRecord, now: float, *, present: bool = False) -> None:
        """Take a state of the Lease from an answer or a watch.

        A state older than the known one is ignored, unless it is certainly the `present` one: then etcd was restored.
        """
        if self._record is not None and record.version < self._record.version and not present:
            return
        # The same version decodes to another record only after this candidate's service account has changed.
        if record != self._record:
            self._record, self._seen_at = record, now
        self._certain = True
        if record.holder != self._identity:
            self._fence = -math.inf
            if not record.holder:
                self._due = -math.inf

    def absent(self, now: float) -> None:
        """Note that there is no Lease. Its former holder may not know this yet, so its duration must pass first."""
        if self._record is not None and self._record.holder not in {"", self._identity}:
            self._due = max(self._due, now + self._record.duration)
        self._record, self._certain = None, True

    def doubt(self) -> None:
        """Note that the Lease may have changed. It is read before the next attempt."""
        self._certain = False

    def written(self, record: LeaseRecord, sent_at: float, now: float) -> None:
        """Note that a write, sent at `sent_at`, has succeeded and that the Lease is now `record`."""
        self.observe(record, now)
        if self._record == record and record.holder == self._identity:
            self._renewed_at = sent_at
            self._fence = max(self._fence, sent_at + self._timing.deadline)

    def failed(self, now: float) -> None:
        """Note that a request has failed with an unknown outcome."""
        self._certain = False
        self._due = now + self._timing.retry

    def resign(self) -> None:
        """Stop leading: no write is allowed from now on."""
        self._fence = -math.inf

"""What this process remembers of the luck of a pool's pods: how long to wait before the next try."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sandbox_common.backoff import doubled
from sandbox_operator.pools.census import Census, State
from sandbox_operator.reporting.findings import Finding
from sandbox_operator.reporting.refusals import Refusal

SHORTEST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(minutes=5)
LONGEST_REFUSAL = timedelta(minutes=1)
"""A refused request costs little, and nobody tells when it would be granted."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """After `level` failures in a row nothing is tried before `until`; level 0 is health."""

    level: int = 0
    until: datetime | None = None

    def failed(self, now: datetime, longest: timedelta = LONGEST_DELAY) -> "Backoff":
        """After one more failure: 10 s, doubled each time up to `longest`."""
        return Backoff(self.level + 1, now + doubled(self.level + 1, SHORTEST_DELAY, longest))

    def is_over(self, now: datetime) -> bool:
        """Whether something may be tried."""
        return self.until is None or now >= self.until


@dataclass(frozen=True, slots=True)
class Record:
    """Of one pool's pods of one template.

    `proven`: one of them has been ready. `failing`: when the pods that fail were first seen to, by UID. `finding`: why
    one of them failed last. `refusal`: why the API server made no pod when it was last asked.
    """

    template: str = ""
    proven: bool = False
    ready: Set[str] | None = None
    claimed: int = 0
    failing: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    finding: Finding | None = None
    failures: Backoff = Backoff()
    refusal: Refusal | None = None
    refusals: Backoff = Backoff()

    def observed(self, template: str, census: Census, claimed: int, now: datetime) -> "Record":
        """After a look at the pods, `claimed` others having been claimed so far.

        A pod that became ready ends the waiting; a new one that fails begins it.
        """
        if template != self.template:
            return Record(template).observed(template, census, claimed, now)
        ready = {pod.uid for pod in census.current[State.READY]}
        # A pod may be claimed as soon as it is ready, and then is never seen among the free ones.
        lucky = self.ready is not None and bool(
            ready - self.ready or (claimed > self.claimed and not (census.outdated.count() or census.leaving))
        )
        failing = {pod.uid: self.failing.get(pod.uid, now) for pod in census.current[State.FAILING]}
        failures = self.failures
        if lucky:
            failures = Backoff()
        elif failing.keys() - self.failing.keys() and not failures.level:
            failures = failures.failed(now)
        finding = next((census.findings[uid] for uid in failing), self.finding)
        return replace(
            self,
            proven=self.proven or lucky or bool(ready),
            ready=ready,
            claimed=claimed,
            failing=failing,
            finding=finding if failing or failures.level else None,
            failures=failures,
        )

    def tried(self, now: datetime) -> "Record":
        """After a pod has been asked for: if others failed before, the next one is asked for later still."""
        return replace(self, failures=self.failures.failed(now)) if self.failures.level else self

    def answered(self, refusal: Refusal | None, now: datetime) -> "Record":
        """After the API server's answers; `refusal` is one of them, or None when all that was asked for was made."""
        refusals = self.refusals.failed(now, LONGEST_REFUSAL) if refusal else Backoff()
        return replace(self, refusal=refusal, refusals=refusals)

"""Failures and refusals of a pool's new pods, and how long to wait before the next try. Pure."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sandbox_common.backoff import doubled
from sandbox_operator.pools.free_pods import FreePods, PodState
from sandbox_operator.reporting.findings import Finding
from sandbox_operator.reporting.refusals import Refusal

SHORTEST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(minutes=5)
LONGEST_REFUSAL = timedelta(minutes=1)
"""Shorter, because a refused request costs little, and no event says when it would succeed."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """After `level` failures in a row, nothing is tried before `until`. Level 0: no failure."""

    level: int = 0
    until: datetime | None = None

    def failed(self, now: datetime, longest: timedelta = LONGEST_DELAY) -> "Backoff":
        """The back-off after one more failure: 10 s, doubled each time up to `longest`."""
        return Backoff(self.level + 1, now + doubled(self.level + 1, SHORTEST_DELAY, longest))

    def is_over(self, now: datetime) -> bool:
        """Whether the next try is allowed."""
        return self.until is None or now >= self.until


@dataclass(frozen=True, slots=True)
class RefillHistory:
    """History of one pool's pods with one template.

    `proven`: one of them has been ready. `failing`: when each failing pod was first seen to fail, by UID. `finding`:
    why the last one failed. `refusal`: why the API server refused the last pod.
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

    def observed(self, template: str, free_pods: FreePods, claimed: int, now: datetime) -> "RefillHistory":
        """The history after a look at the pods. `claimed` is the number of claimed pods of the pool.

        A pod that became ready ends the back-off. A new failing pod begins it.
        """
        if template != self.template:
            return RefillHistory(template).observed(template, free_pods, claimed, now)
        ready = {pod.uid for pod in free_pods.current[PodState.READY]}
        # A pod may be claimed as soon as it is ready, and is then never seen among the free pods.
        became_ready = self.ready is not None and bool(
            ready - self.ready or (claimed > self.claimed and not (free_pods.outdated.count() or free_pods.leaving))
        )
        failing = {pod.uid: self.failing.get(pod.uid, now) for pod in free_pods.current[PodState.FAILING]}
        failures = self.failures
        if became_ready:
            failures = Backoff()
        elif failing.keys() - self.failing.keys() and not failures.level:
            failures = failures.failed(now)
        finding = next((free_pods.findings[uid] for uid in failing), self.finding)
        return replace(
            self,
            proven=self.proven or became_ready or bool(ready),
            ready=ready,
            claimed=claimed,
            failing=failing,
            finding=finding if failing or failures.level else None,
            failures=failures,
        )

    def tried(self, now: datetime) -> "RefillHistory":
        """The history after a request for a pod. After earlier failures, the next request waits even longer."""
        return replace(self, failures=self.failures.failed(now)) if self.failures.level else self

    def answered(self, refusal: Refusal | None, now: datetime) -> "RefillHistory":
        """The history after the API server's answers. `refusal` is None if all pods and Secrets were made."""
        refusals = self.refusals.failed(now, LONGEST_REFUSAL) if refusal else Backoff()
        return replace(self, refusal=refusal, refusals=refusals)

"""What this process remembers of one pool from pass to pass; all of it may be lost."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sandbox_common.keys import MasterKeys
from sandbox_crds.models import SandboxClass, SandboxPool
from sandbox_operator.pools import metrics
from sandbox_operator.pools.builders import template_of
from sandbox_operator.pools.census import Census, State, take_census
from sandbox_operator.pools.expectations import Expectations
from sandbox_operator.pools.record import Record
from sandbox_operator.pools.sizing import Sizer
from sandbox_operator.pools.stock import Stock

LULL = 0.05
"""Seconds without a claim after which pods are made, while claims follow each other as closely as that."""

BREATH = 0.02
"""Seconds after a claim, otherwise: its sandbox's status is written, and the pod is there before the next claim."""

LONGEST_WAIT = 1.0
"""Seconds that a full pool waits for a lull; one that is nearly empty waits hardly at all."""


@dataclass(slots=True)
class Memory:
    """Of one pool. `secrets` are the UIDs of pods whose Secret is known to be there. `clock` is monotonic."""

    uid: str
    expectations: Expectations
    clock: Callable[[], float]
    record: Record = field(default_factory=Record)
    secrets: set[str] = field(default_factory=set[str])
    sizer: Sizer | None = None
    counted: set[str] = field(default_factory=set[str])
    """UIDs of the free pods that have been ready: one that is so again says nothing of how long a new one takes."""
    changed_at: float | None = None
    """Time of the clock since which the status has something to tell that is not written yet."""
    _waits_since: float | None = None
    _template: tuple[tuple[int, str, str], str] = ((0, "", ""), "")

    def look(
        self, pool: SandboxPool, class_: SandboxClass | None, stock: Stock, keys: MasterKeys, now: datetime
    ) -> Census:
        """Look at the pool's pods, and remember what has become of them."""
        name = pool.metadata.name
        free = [pod for pod in stock.free(name) if pod.owner_uid == self.uid]
        pods = self.expectations.overlay(free, stock.get, now)
        there = {pod.uid for pod in pods}
        self.secrets &= there
        self.counted &= there
        # Without the class nobody knows what a new pod would be like.
        template = self._template_of(pool, class_, keys) if class_ else self.record.template
        census = take_census(pods, template, keys, now, stock.unfit)
        before, self.record = self.record, self.record.observed(template, census, stock.claimed(name), now)
        self._count(name, before, census)
        return census

    def wanted(self, pool: SandboxPool) -> int:
        """How many free pods there shall be, by the spec or by recent demand."""
        limits = pool.spec.autoscaling
        if limits is None:
            self.sizer = None
            return pool.spec.replicas
        if self.sizer is None:
            told = pool.status.observed_generation > 0
            self.sizer = Sizer(limits, pool.status.desired_replicas if told else pool.spec.replicas)
        self.sizer.limit(limits)
        return self.sizer.size(self.clock())

    @property
    def waits(self) -> bool:
        """Whether there was something to do, and it was left for later."""
        return self._waits_since is not None

    def is_to_wait(self, stock: Stock, wanted: int) -> bool:
        """Whether the API server is to be left to the claims that are under way.

        The fewer pods are left the less they wait, so that pods are made as fast as they are claimed.
        """
        now = self.clock()
        lull = LULL if stock.pause < LULL else BREATH
        claims = stock.claims > 0 or now < stock.claimed_at + lull
        if claims and wanted:
            self._waits_since = now if self._waits_since is None else self._waits_since
            ready = stock.ready(self.record.template) - stock.claims
            if now < self._waits_since + LONGEST_WAIT * min(max(ready / wanted, 0.0), 1.0) ** 2:
                return True
        self._waits_since = None
        return False

    def _template_of(self, pool: SandboxPool, class_: SandboxClass, keys: MasterKeys) -> str:
        of = (pool.metadata.generation, class_.metadata.uid, class_.metadata.resource_version)
        if self._template[0] != of:
            self._template = (of, template_of(pool, class_, keys))
        return self._template[1]

    def _count(self, pool: str, before: Record, census: Census) -> None:
        for uid in self.record.failing.keys() - before.failing.keys():
            metrics.FAILURES.labels(pool, census.findings[uid].reason).inc()
        ready = [pod for pod in census.current[State.READY] if pod.uid not in self.counted]
        self.counted.update(pod.uid for pod in ready)
        if self.sizer is None or before.ready is None:
            return
        for pod in ready:
            if pod.ready and pod.ready.since:
                self.sizer.ready((pod.ready.since - pod.created).total_seconds())

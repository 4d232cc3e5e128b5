"""What this process remembers about one pool between passes. Losing it does no harm."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.keys import MasterKeys
from sandbox_crds.models import SandboxClass, SandboxPool
from sandbox_operator.pools import metrics
from sandbox_operator.pools.builders import template_of
from sandbox_operator.pools.free_pods import FreePods, PodState, lacks_volume, sort_free_pods
from sandbox_operator.pools.pod_index import PodIndex
from sandbox_operator.pools.refill_history import RefillHistory
from sandbox_operator.pools.sizing import Sizer
from sandbox_operator.watching.pod_expectations import PodExpectations
from sandbox_operator.watching.pods import Pod

LULL = 0.05
"""Seconds without a claim before pods are made, if the last claims came in quicker succession."""

BREATH = 0.02
"""The same otherwise: enough to write the status of the sandbox that claimed, and to make a pod before the next claim.
"""

LOOK_INTERVAL = 30.0
"""Seconds between two reads of the Events about volume claims, while pods wait for their volumes."""

LONGEST_WAIT = 1.0
"""Seconds that a full pool waits for a lull. A nearly empty pool hardly waits."""


@dataclass(slots=True)
class PoolMemory:
    """Memory of one pool. `clock` is monotonic, in seconds.

    `equipped` has the UIDs of pods whose Secret and volume claim exist. `volume_events` are the Events about volume
    claims, by the claim's name, that were read at `looked_at`.
    """

    uid: str
    expectations: PodExpectations[Pod]
    clock: Callable[[], float]
    history: RefillHistory = field(default_factory=RefillHistory)
    equipped: set[str] = field(default_factory=set[str])
    volume_events: Mapping[str, Sequence[ClusterEvent]] = field(default_factory=dict[str, Sequence[ClusterEvent]])
    looked_at: float | None = None
    sizer: Sizer | None = None
    counted: set[str] = field(default_factory=set[str])
    """UIDs of free pods that have been ready once. Only the first readiness shows how long a start takes."""
    changed_at: float | None = None
    """Clock time since which the status has had a change that is not written yet."""
    _waits_since: float | None = None
    _template: tuple[tuple[int, str, str], str] = ((0, "", ""), "")

    def look(
        self, pool: SandboxPool, class_: SandboxClass | None, pod_index: PodIndex, keys: MasterKeys, now: datetime
    ) -> FreePods:
        """Sort the pool's free pods, and remember which became ready or failed."""
        name = pool.metadata.name
        free = [pod for pod in pod_index.free(name) if pod.owner_uid == self.uid]
        pods = self.expectations.overlay(free, pod_index.get, now)
        there = {pod.uid for pod in pods}
        self.equipped &= there
        claims = {pod.volume_claim for pod in pods}
        self.volume_events = {claim: events for claim, events in self.volume_events.items() if claim in claims}
        self.counted &= there
        # Without the class, the template of a new pod is unknown.
        template = self._template_of(pool, class_, keys) if class_ else self.history.template
        free_pods = sort_free_pods(pods, template, keys, now, pod_index.unfit, self.volume_events)
        before, self.history = self.history, self.history.observed(template, free_pods, pod_index.claimed(name), now)
        self._count(name, before, free_pods)
        return free_pods

    def wanted(self, pool: SandboxPool) -> int:
        """Desired number of free pods, from the spec or from recent demand."""
        limits = pool.spec.autoscaling
        if limits is None:
            self.sizer = None
            return pool.spec.replicas
        if self.sizer is None:
            has_status = pool.status.observed_generation > 0
            self.sizer = Sizer(limits, pool.status.desired_replicas if has_status else pool.spec.replicas)
        self.sizer.limit(limits)
        return self.sizer.size(self.clock())

    def is_to_look(self, free_pods: FreePods, now: datetime) -> bool:
        """Whether to read the Events about volume claims, because a pod may wait for its volume."""
        current = free_pods.current
        pods = [*current[PodState.STARTING], *current[PodState.UNBOUND]]
        if not any(lacks_volume(pod, now) for pod in pods):
            return False
        return self.looked_at is None or self.clock() >= self.looked_at + LOOK_INTERVAL

    def looked(self, events: Iterable[ClusterEvent]) -> None:
        """Note the Events about volume claims."""
        by_name: dict[str, list[ClusterEvent]] = {}
        for event in events:
            by_name.setdefault(event.name, []).append(event)
        self.volume_events = by_name

    @property
    def waits(self) -> bool:
        """Whether work was postponed."""
        return self._waits_since is not None

    def is_to_wait(self, pod_index: PodIndex, wanted: int) -> bool:
        """Whether to wait, because claims are in progress and should not compete for the API server.

        The fewer pods are left, the shorter the wait, so that pods are made as fast as they are claimed.
        """
        now = self.clock()
        lull = LULL if pod_index.pause < LULL else BREATH
        claims = pod_index.claims > 0 or now < pod_index.claimed_at + lull
        if claims and wanted:
            self._waits_since = now if self._waits_since is None else self._waits_since
            ready = pod_index.ready(self.history.template) - pod_index.claims
            if now < self._waits_since + LONGEST_WAIT * min(max(ready / wanted, 0.0), 1.0) ** 2:
                return True
        self._waits_since = None
        return False

    def _template_of(self, pool: SandboxPool, class_: SandboxClass, keys: MasterKeys) -> str:
        of = (pool.metadata.generation, class_.metadata.uid, class_.metadata.resource_version)
        if self._template[0] != of:
            self._template = (of, template_of(pool, class_, keys))
        return self._template[1]

    def _count(self, pool: str, before: RefillHistory, free_pods: FreePods) -> None:
        for uid in self.history.failing.keys() - before.failing.keys():
            metrics.FAILURES.labels(pool, free_pods.findings[uid].reason).inc()
        ready = [pod for pod in free_pods.current[PodState.READY] if pod.uid not in self.counted]
        self.counted.update(pod.uid for pod in ready)
        if self.sizer is None or before.ready is None:
            return
        for pod in ready:
            if pod.ready and pod.ready.since:
                self.sizer.ready((pod.ready.since - pod.created).total_seconds())

"""Whatever pods, watch and API server do, a pool comes to the size that is wanted, and takes from nobody."""

import asyncio
import contextlib

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sandbox_common.kube import ApiError
from sandbox_common.reasons import PoolReason, Reason
from sandbox_operator.pools.builders import template_of
from sandbox_operator.pools.plan import BATCH
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.pools.cluster import POOL, Cluster
from unit.sandbox_operator.samples import IMAGE, KEYS, class_

PICK = st.integers(0, 1000)
SIZES = st.integers(0, 7)


class PoolMachine(RuleBasedStateMachine):
    """A pool, its pods, and an operator that sees them late."""

    @initialize(size=SIZES)
    def begin(self, size: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.cluster = Cluster(size)
        self.claimed: set[str] = set()

    @rule()
    def reconcile(self) -> None:
        """One pass; a failed request ends it, as the queue would."""
        cluster = self.cluster
        cluster.writes.clear()
        before = {pod.name for pod in cluster.pods.values()}
        with contextlib.suppress(ApiError, TimeoutError):
            self.loop.run_until_complete(cluster.reconciler.reconcile(POOL))
        cluster.faults.clear()
        assert cluster.writes.count("create pod") <= BATCH
        assert cluster.writes.count("delete pod") <= BATCH
        new = [pod for pod in self._current() if pod.name not in before]
        # Also when the cache is late: what has been made counts at once.
        if new:
            unknown = len(cluster.lost & cluster.pods.keys())
            assert len(self._current()) <= cluster.pool.spec.replicas + unknown
            assert len(cluster.live) <= cluster.pool.spec.replicas + BATCH + unknown

    def _current(self) -> list[Pod]:
        template = template_of(self.cluster.pool, class_(), KEYS)
        return [pod for pod in self.cluster.live if pod.template == template]

    def _pick(self, number: int) -> str | None:
        names = sorted(pod.name for pod in self.cluster.live)
        return names[number % len(names)] if names else None

    @rule(number=st.integers(1, 20))
    def deliver(self, number: int) -> None:
        self.cluster.deliver(number)

    @rule(seconds=st.sampled_from([0.1, 5, 11, 60, 400]))
    def wait(self, seconds: float) -> None:
        self.cluster.advance(seconds)

    @rule(number=PICK)
    def become_ready(self, number: int) -> None:
        if (name := self._pick(number)) and name in self.cluster.secrets:
            self.cluster.become_ready(name)

    @rule(number=PICK)
    def fail(self, number: int) -> None:
        if name := self._pick(number):
            self.cluster.fail(name)

    @rule(number=PICK)
    def find_no_room(self, number: int) -> None:
        if (name := self._pick(number)) and not self.cluster.pods[name].node:
            self.cluster.find_no_room(name)

    @rule(number=PICK)
    def be_evicted(self, number: int) -> None:
        if name := self._pick(number):
            self.cluster.change(name, phase="Failed", reason="Evicted", ready=None)

    @rule(number=PICK)
    def be_deleted_by_somebody(self, number: int) -> None:
        if name := self._pick(number):
            self.cluster.change(name, deletion_requested=self.cluster.now)

    @rule(number=PICK)
    def vanish(self, number: int) -> None:
        if name := self._pick(number):
            self.cluster.vanish(name)

    @rule(number=PICK)
    def be_claimed(self, number: int) -> None:
        if (name := self._pick(number)) and self.cluster.pods[name].is_ready:
            self.cluster.change(name, sandbox="one", owner_uid="a-sandbox")
            self.claimed.add(name)

    @rule()
    def end(self) -> None:
        for pod in [pod for pod in self.cluster.pods.values() if pod.deletion_requested]:
            self.cluster.vanish(pod.name)

    @rule(size=SIZES)
    def resize(self, size: int) -> None:
        self.cluster.edit(replicas=size)

    @rule(tag=st.integers(1, 2))
    def change_the_template(self, tag: int) -> None:
        self.cluster.edit(image=f"{IMAGE}{tag}")

    @rule(reason=st.sampled_from([None, Reason.POD_REFUSED, Reason.QUOTA_EXCEEDED]))
    def refuse(self, reason: Reason | None) -> None:
        self.cluster.refusal = Refusal(reason, "no") if reason else None

    @rule(fault=st.sampled_from([ApiError(500, "", ""), TimeoutError()]), number=st.integers(1, 4), lost=st.booleans())
    def let_requests_fail(self, fault: Exception, number: int, lost: bool) -> None:
        self.cluster.faults[:] = [fault] * number
        self.cluster.loses_answers = lost

    @rule()
    def restart(self) -> None:
        self.cluster.restart()

    @invariant()
    @precondition(lambda self: hasattr(self, "cluster"))
    def nobody_loses_a_claimed_pod(self) -> None:
        for name in self.claimed:
            assert not self.cluster.pods[name].deletion_requested

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        try:
            self._come_to_rest()
        finally:
            self.loop.close()

    def _come_to_rest(self) -> None:
        cluster = self.cluster
        cluster.refusal = None
        for _ in range(60):
            cluster.deliver(1000)
            self.reconcile()
            self.end()
            for pod in cluster.live:
                waits = pod.container is not None and pod.container.waiting_reason
                if not pod.is_ready and not pod.is_finished and not waits and pod.name in cluster.secrets:
                    cluster.become_ready(pod.name)
            cluster.advance(40)
        cluster.deliver(1000)
        cluster.writes.clear()
        self.reconcile()
        current = self._current()
        assert len(current) == len(cluster.live) == cluster.pool.spec.replicas
        assert all(pod.is_ready for pod in current)
        assert {pod.name for pod in current} <= cluster.secrets
        [condition] = cluster.pool.status.conditions
        assert condition.reason == PoolReason.FILLED
        # At rest nothing is written.
        assert cluster.writes == []


TestPool = PoolMachine.TestCase

"""Whatever happens to a sandbox, and whenever the operator looks: what it writes leads somewhere and then stops."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sandbox_crds.models import Sandbox, SandboxClass, SandboxStatus
from sandbox_crds.reasons import Reason
from sandbox_operator.plan import PATIENCE, SHORTEST_LIFE, Made, Plan, Refusal, World, plan
from sandbox_operator.pods import Pod
from unit.sandbox_operator.samples import (
    KEY_ID,
    KEYS,
    NOW,
    class_,
    condition,
    pod,
    ready,
    run,
    runs,
    sandbox,
    waits,
)

type Report = Callable[[Pod, datetime], Pod]


def _ready(seen: Pod, now: datetime) -> Pod:
    return replace(ready(), ready=condition(True, since=now))


def _silent(seen: Pod, now: datetime) -> Pod:
    return replace(runs(since=now - timedelta(seconds=9)), ready=condition(False, since=now))


def _restarted(seen: Pod, now: datetime) -> Pod:
    restarts = seen.container.restarts + 1 if seen.container else 1
    return runs(since=now, restarts=restarts, last_run=run(1))


REPORTS: list[Report] = [
    _ready,
    _silent,
    _restarted,
    lambda seen, now: replace(pod(), scheduled=condition(False, "Unschedulable", "no room")),
    lambda seen, now: runs(since=now),
    lambda seen, now: waits("ErrImagePull", "not found"),
    lambda seen, now: waits("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: not found'),
    lambda seen, now: waits("CreateContainerConfigError", "secret not found"),
    lambda seen, now: waits("CrashLoopBackOff", restarts=2, last_run=run(137, "OOMKilled")),
    lambda seen, now: replace(pod(), phase="Failed", reason="Evicted"),
]


class Cluster(RuleBasedStateMachine):
    """One sandbox, its pod and its Secret in a made-up cluster, and an operator that may be started anew."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.sandbox: Sandbox = sandbox()
        self.class_: SandboxClass | None = class_()
        self.pod: Pod | None = None
        self.quota = True
        self.secret = False
        self.pods_made = 0
        self.made: Made | None = None

    # What others do

    @rule(seconds=st.sampled_from([0.1, 1, 2, 5, 100]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(suspend=st.booleans())
    def user_sets_suspend(self, suspend: bool) -> None:
        if suspend is not self.sandbox.spec.suspend:
            spec = self.sandbox.spec.model_copy(update={"suspend": suspend})
            metadata = self.sandbox.metadata
            metadata = metadata.model_copy(update={"generation": metadata.generation + 1})
            self.sandbox = self.sandbox.model_copy(update={"spec": spec, "metadata": metadata})

    @rule()
    def class_comes_or_goes(self) -> None:
        self.class_ = None if self.class_ else class_()

    @rule()
    def quota_comes_or_goes(self) -> None:
        self.quota = not self.quota

    @precondition(lambda self: self.pod is not None and self.pod.deletion_requested is None)
    @rule(report=st.sampled_from(REPORTS))
    def kubelet_reports(self, report: Report) -> None:
        assert self.pod
        identity = {"name": self.pod.name, "uid": self.pod.uid, "created": self.pod.created}
        self.pod = replace(report(self.pod, self.now), **identity)

    @precondition(lambda self: self.pod is not None)
    @rule()
    def somebody_deletes_the_pod(self) -> None:
        assert self.pod
        self.pod = replace(self.pod, deletion_requested=self.pod.deletion_requested or self.now)

    @precondition(lambda self: self.pod is not None and self.pod.deletion_requested is not None)
    @rule()
    def pod_ends(self) -> None:
        self.pod = None

    @precondition(lambda self: self.pod is not None)
    @rule()
    def pod_vanishes(self) -> None:
        self.pod = None

    @rule()
    def operator_is_started_anew(self) -> None:
        self.made = None

    # What the operator does

    def _plan(self, refusal: Refusal | None = None) -> Plan:
        return plan(World(self.sandbox, self.class_, self.pod, self.now, self.made, refusal), KEYS)

    def _pass(self) -> int:
        """One pass; gives the number of writes, refused ones not counted."""
        steps, writes = self._plan(), 0
        if steps.creates:
            kinds = [create.resource.plural for create in steps.creates]
            refusal = self._create(kinds)
            writes += 0 if refusal else len(kinds)
            self.made = Made(KEY_ID, self.pod.uid if self.pod else "")
            steps = self._plan(refusal)
            assert not steps.creates
        if steps.delete:
            assert self.pod == steps.delete
            self.pod = replace(steps.delete, deletion_requested=self.now)
            writes += 1
        if steps.status:
            old = self.sandbox.status.model_dump(by_alias=True)
            assert all(old[field] != value for field, value in steps.status.items())
            status = SandboxStatus.model_validate({**old, **steps.status})
            self.sandbox = self.sandbox.model_copy(update={"status": status})
            writes += 1
        if steps.requeue_at:
            assert self.now < steps.requeue_at <= self.now + SHORTEST_LIFE
        return writes

    def _create(self, kinds: Collection[str]) -> Refusal | None:
        self.secret = self.secret or "secrets" in kinds
        if "pods" not in kinds:
            return None
        assert self.pod is None, "a pod is made while there is one"
        if not self.quota:
            return Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota")
        self.pods_made += 1
        self.pod = replace(pod(), uid=f"pod-{self.pods_made}", created=self.now)
        return None

    @rule()
    def operator_looks(self) -> None:
        self._pass()
        assert self._pass() == 0, "the second look finds nothing to do"

    @rule(done=st.sets(st.sampled_from(["secrets", "pods"])))
    def operator_dies_while_it_creates(self, done: set[str]) -> None:
        kinds = [create.resource.plural for create in self._plan().creates]
        self._create([kind for kind in kinds if kind in done])
        self.made = None

    # What then is so

    @rule()
    def operator_settles(self) -> None:
        for _ in range(4):
            self._pass()
            self.now += PATIENCE
            if self.pod and self.pod.deletion_requested:
                self.pod = None
        self._pass()
        assert self._pass() == 0
        self._is_as_wanted()

    def _is_as_wanted(self) -> None:
        told = self.sandbox.status.condition("Ready")
        assert told
        if self.sandbox.spec.suspend:
            assert (self.pod, told.reason) == (None, Reason.SUSPENDED)
        elif told.reason == Reason.SANDBOX_CLASS_NOT_FOUND:
            # Without it nothing can be made: neither a pod nor what a predecessor may have left out.
            assert self.class_ is None
            assert self.sandbox.status.pod_uid == ""
        elif self.pod:
            assert told.status == str(self.pod.is_ready)
            assert self.sandbox.status.pod_uid == self.pod.uid
        else:
            assert told.reason == Reason.QUOTA_EXCEEDED

    @invariant()
    def a_pod_told_to_be_ready_has_an_address(self) -> None:
        told = self.sandbox.status.condition("Ready")
        if told and told.status == "True":
            assert self.sandbox.status.pod_ip
            assert self.sandbox.status.key_id == KEY_ID
            assert self.secret


class TestCluster(Cluster.TestCase):
    settings = settings(max_examples=200, stateful_step_count=30, deadline=None)

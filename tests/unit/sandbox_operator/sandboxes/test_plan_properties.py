"""Whatever happens to a sandbox, and whenever the operator looks: what it writes leads somewhere and then stops."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import sampling
from sandbox_common.reasons import MEANINGS, SUSPENSIONS, Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import SandboxClass
from sandbox_operator.pools.claim_patch import is_first_start
from sandbox_operator.reporting.status import is_restored, may_have_been_suspended
from sandbox_operator.sandboxes.situation import PATIENCE
from sandbox_operator.sandboxes.world import Plan
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.cases import writes
from unit.sandbox_operator.made_up_cluster import MadeUpCluster
from unit.sandbox_operator.samples import KEY_ID, UID, class_, condition, pod, ready, run, runs, waits

type Report = Callable[[Pod, datetime], Pod]


def _ready(seen: Pod, now: datetime) -> Pod:
    return replace(ready(), ready=condition(True, since=now))


def _silent(seen: Pod, now: datetime) -> Pod:
    return replace(runs(since=now - timedelta(seconds=9)), ready=condition(False, since=now))


def _restarted(seen: Pod, now: datetime) -> Pod:
    restarts = seen.container.restarts + 1 if seen.container else 1
    return runs(since=now, restarts=restarts, last_run=run(1))


def _node_lost(seen: Pod, now: datetime) -> Pod:
    return replace(ready(), ready=condition(False, "", "the node is silent", since=now))


REPORTS: list[Report] = [
    _ready,
    _silent,
    _restarted,
    _node_lost,
    lambda seen, now: replace(pod(), scheduled=condition(False, "Unschedulable", "no room")),
    lambda seen, now: runs(since=now),
    lambda seen, now: waits("ContainerCreating"),
    lambda seen, now: waits("ErrImagePull", "not found"),
    lambda seen, now: waits("ImagePullBackOff", 'Back-off pulling image "x": ErrImagePull: not found'),
    lambda seen, now: waits("CreateContainerConfigError", "secret not found"),
    lambda seen, now: waits("CrashLoopBackOff", restarts=2, last_run=run(137, "OOMKilled")),
    lambda seen, now: replace(pod(), phase="Failed", reason="Evicted"),
]
CLASSES: list[SandboxClass | None] = [
    None,
    class_(),
    class_(workspace={"persistent": True}),
    class_(progressDeadlineSeconds=60),
    class_(progressDeadlineSeconds=60, workspace={"discardOnSuspension": True}),
    class_(progressDeadlineSeconds=60, workspace={"persistent": True}),
    class_(maximumLifeSeconds=300, maximumSuspendedSeconds=200),
    class_(maximumLifeSeconds=5000, maximumSuspendedSeconds=20, progressDeadlineSeconds=3),
]
YEAR = timedelta(days=365)


class Cluster(RuleBasedStateMachine):
    """One sandbox in a made-up cluster, and an operator that may be started anew."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = MadeUpCluster()
        self.lost: set[str] = set()
        """Pods whose loss must be told, unless the sandbox is suspended before anybody looks."""
        self.told_key = ""
        self.turns = 0

    @initialize(class_=st.sampled_from(CLASSES), free=st.integers(0, 2), looks=st.sampled_from([0, 3]))
    def sandbox_is_made(self, class_: SandboxClass | None, free: int, looks: int) -> None:
        """After some looks of the operator, it may have a pod and a volume."""
        self.cluster.class_, self.cluster.free = class_, free
        for _ in range(looks):
            self.cluster.act()
            self.cluster.now += PATIENCE

    # What others do

    @rule(seconds=st.sampled_from([0.1, 1, 2, 5, 100, 1000]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.now += timedelta(seconds=seconds)

    @rule()
    def user_suspends(self) -> None:
        self.lost.clear()
        self.cluster.edit(suspend=True, suspend_reason="Requested")

    @precondition(lambda self: not self.cluster.sandbox.spec.suspend)
    @rule()
    def sandbox_is_idle(self) -> None:
        self.lost.clear()
        self.cluster.suspend("Idle", "Idle for long.")

    @rule()
    def user_resumes(self) -> None:
        self.cluster.edit(suspend=False, suspend_reason="")

    @rule(resumed=st.booleans())
    def user_resumes_or_not_while_a_pod_is_prepared(self, resumed: bool) -> None:
        self.cluster.resumed_while_preparing = resumed

    @rule(ahead=st.sampled_from([-100, 0, 100]))
    def user_restarts(self, ahead: int) -> None:
        self.cluster.edit(restarted_at=rfc3339(self.cluster.now + timedelta(seconds=ahead)))

    @rule(seconds=st.sampled_from([None, 0, 100, 100_000]))
    def user_limits_its_life(self, seconds: int | None) -> None:
        self.cluster.edit(maximum_life_seconds=seconds)

    @rule(class_=st.sampled_from(CLASSES))
    def class_changes(self, class_: SandboxClass | None) -> None:
        self.cluster.class_ = class_

    @rule()
    def quota_comes_or_goes(self) -> None:
        self.cluster.quota = not self.cluster.quota

    @rule()
    def what_pods_mount_comes_or_goes(self) -> None:
        self.cluster.mounts = not self.cluster.mounts

    @precondition(lambda self: self.cluster.pod is not None and self.cluster.pod.deletion_requested is None)
    @rule(report=st.sampled_from(REPORTS))
    def kubelet_reports(self, report: Report) -> None:
        seen = self.cluster.pod
        assert seen
        reported = replace(
            report(seen, self.cluster.now),
            name=seen.name,
            uid=seen.uid,
            created=seen.created,
            restarted_at=seen.restarted_at,
            sandbox=seen.sandbox,
            pool=seen.pool,
            key_id=seen.key_id,
            volume_claim=seen.volume_claim,
            claimed=seen.claimed,
        )
        # A pod that has begun stays so until its end.
        has_begun, begins = (each.has_begun or each.is_ready for each in (seen, reported))
        if begins or reported.is_finished or not has_begun:
            self.cluster.pod = reported

    @precondition(lambda self: self.cluster.pod is not None)
    @rule()
    def somebody_deletes_the_pod(self) -> None:
        self._note_loss()
        self.cluster.delete_pod()

    @precondition(lambda self: self.cluster.pod is not None and self.cluster.pod.deletion_requested is not None)
    @rule()
    def pod_ends(self) -> None:
        self.cluster.lose_pod()

    @precondition(lambda self: self.cluster.pod is not None)
    @rule()
    def pod_vanishes(self) -> None:
        self._note_loss()
        self.cluster.lose_pod()

    def _note_loss(self) -> None:
        """A loss must be told of a pod that the status speaks well of, when nobody has asked for its end."""
        cluster, status = self.cluster, self.cluster.sandbox.status
        told = status.condition("Ready")
        settled = status.observed_generation == cluster.sandbox.metadata.generation
        if cluster.pod is None or told is None or not settled or cluster.pod.deletion_requested:
            return
        if cluster.pod.uid == status.pod_uid and told.reason in {Reason.READY, Reason.STARTING, Reason.NODE_LOST}:
            self.lost.add(cluster.pod.uid)

    @rule()
    def pool_is_filled(self) -> None:
        self.cluster.free += 1

    @precondition(lambda self: self.cluster.free > 0 and self.is_unsettled)
    @rule(takes=st.booleans())
    def another_operator_claims(self, takes: bool) -> None:
        """One that has not heard of what this one does; the status is the arbiter."""
        claimed = self.cluster.claim()
        self.cluster.others.append(claimed)
        if takes and claimed.volume_claim:
            self.cluster.volumes[claimed.volume_claim] = UID

    @rule()
    def somebody_deletes_the_volumes_of_pods(self) -> None:
        volumes = self.cluster.volumes
        self.cluster.volumes = {name: owner for name, owner in volumes.items() if owner == UID}

    @precondition(lambda self: self.is_unsettled)
    @rule()
    def gateway_tells_the_key(self) -> None:
        """The one that the Sandbox has without a warm pod."""
        self.cluster.edit(warm_start="Never")
        self.told_key = KEY_ID

    @property
    def is_unsettled(self) -> bool:
        """Whether nobody has been told a key."""
        sandbox = self.cluster.sandbox
        return is_first_start(sandbox) and sandbox.spec.warm_start == "Allowed"

    @precondition(lambda self: self.cluster.sandbox.status.key_id != "")
    @rule()
    def sandbox_is_restored(self) -> None:
        self._note_loss()
        self.cluster.restore()

    # What the operator does

    @rule()
    def operator_is_started_anew(self) -> None:
        self.cluster.restart_operator()

    @rule()
    def operator_looks(self) -> None:
        turns = self.cluster.turns
        if is_restored(self.cluster.sandbox):
            self.cluster.act()
        self.cluster.act()
        ends = self.cluster.pod is not None and self.cluster.pod.deletion_requested is not None
        if self.cluster.turns > turns or ends:
            # A limit was reached, or a pod that has just been deleted cannot end since its node is lost.
            self.cluster.act()
        for _ in range(2 * len(self.cluster.others)):
            # Those that are too many go once the status has named the right one, or one by one with a suspension.
            self.cluster.act()
        assert self._is_quiet(), "the second look finds nothing to do"

    def _is_quiet(self) -> bool:
        """Whether another look finds nothing to do, and none would before the time that it names."""
        if self.cluster.act():
            return False
        steps = self.cluster.plan()
        if steps.creates:
            # What is refused is tried again all the time.
            return True
        end = steps.requeue_at or self.cluster.now + YEAR
        for share in (0.001, 0.5, 0.999):
            early = self.cluster.plan(at=self.cluster.now + (end - self.cluster.now) * share)
            assert _does_nothing(early), "nobody would have looked at that time"
        return True

    @rule(done=st.sets(st.sampled_from(["secrets", "pods"])))
    def operator_dies_while_it_creates(self, done: set[str]) -> None:
        steps = self.cluster.plan()
        self.cluster.tell(replace(steps, afterwards=()))
        self.cluster.create([create for create in steps.creates if create.resource.plural in done])
        self.cluster.restart_operator()

    @precondition(lambda self: is_restored(self.cluster.sandbox))
    @rule()
    def operator_dies_while_it_takes_over(self) -> None:
        """Between the volume claim and the status."""
        self.cluster.take_over()
        self.cluster.restart_operator()

    @precondition(lambda self: self.cluster.free > 0)
    @rule(takes=st.booleans())
    def operator_dies_once_it_has_claimed(self, takes: bool) -> None:
        if self.cluster.plan().claim and not self.cluster.obstacle():
            self.cluster.pod = self.cluster.claim()
            if takes and (steps := self.cluster.plan()).take:
                self.cluster.take(steps.take)
        self.cluster.restart_operator()

    @rule(done=st.sampled_from(["events", "status", "prepare"]))
    def operator_dies_while_it_writes(self, done: str) -> None:
        """After the events, after the status, or after the pod has been prepared, and before all that follows."""
        steps = self.cluster.plan()
        if steps.restore:
            self.cluster.take_over()
        if not steps.creates:
            self.cluster.tell(replace(steps, afterwards=()))
            if done != "events":
                self.cluster.finish(Plan(status=steps.status))
            if done == "prepare" and steps.prepare:
                self.cluster.prepared.add(steps.prepare.pod.uid)
        self.cluster.restart_operator()

    # What then is so

    @rule()
    def operator_settles_what_nobody_limits_any_more(self) -> None:
        self.cluster.resumed_while_preparing = False
        self.cluster.class_ = self.cluster.class_ and class_()
        self.cluster.edit(maximum_life_seconds=0)
        self.a_loss_may_have_come_with_a_suspension()
        quiet = 0
        for _ in range(60):
            quiet = 0 if self.cluster.act() else quiet + 1
            self.cluster.now += PATIENCE
            if self.cluster.pod and self.cluster.pod.deletion_requested:
                self.cluster.lose_pod()
                quiet = 0
            self.cluster.others = [other for other in self.cluster.others if not other.deletion_requested]
            if quiet > 3:
                break
        self.cluster.act()
        assert self._is_quiet()
        self._is_as_wanted()

    def _is_as_wanted(self) -> None:
        cluster, spec, status = self.cluster, self.cluster.sandbox.spec, self.cluster.sandbox.status
        told = status.condition("Ready")
        assert told
        assert status.condition("Expiring") is None
        if spec.suspend:
            assert (cluster.pod, told.reason) == (None, SUSPENSIONS[spec.suspend_reason])
        elif told.reason == Reason.SANDBOX_CLASS_NOT_FOUND:
            # Without it nothing can be made: neither a pod nor what a predecessor may have left out.
            assert cluster.class_ is None
            assert status.pod_uid == ""
        elif cluster.pod:
            assert told.status == str(cluster.pod.is_ready)
            assert status.pod_uid == cluster.pod.uid
            begun = cluster.pod.claimed or cluster.pod.created
            assert cluster.pod.restarted_at == spec.restarted_at or spec.restarted_at <= rfc3339(begun)
            assert cluster.others == []
            assert (status.launch == "Warm", status.pool) == (cluster.pod.claimed is not None, cluster.pod.pool)
        else:
            assert told.reason == Reason.QUOTA_EXCEEDED
        status_names = {status.volume_claim, pod().name}
        assert cluster.volumes.keys() <= status_names | cluster.left_over
        assert not is_restored(cluster.sandbox)
        assert "" not in cluster.volumes.values()
        told_of = {name.rpartition(".")[2] for name, reason in cluster.events.items() if reason == "PodLost"}
        assert self.lost <= told_of
        self.lost.clear()

    @invariant()
    def a_loss_may_have_come_with_a_suspension(self) -> None:
        """As long as the operator has not seen two changes of the spec."""
        if may_have_been_suspended(self.cluster.sandbox):
            self.lost.clear()

    @invariant()
    def a_pod_told_to_be_ready_has_an_address(self) -> None:
        status = self.cluster.sandbox.status
        told = status.condition("Ready")
        if told and told.status == "True":
            assert status.pod_ip
            assert status.key_id == self.cluster.keys[status.pod_uid]
            assert status.ready_time
            assert status.first_ready_time
            assert status.starting_since == ""

    @invariant()
    def a_pod_told_to_be_ready_has_the_volume_of_its_sandbox(self) -> None:
        cluster, status = self.cluster, self.cluster.sandbox.status
        told = status.condition("Ready")
        if told and told.status == "True" and cluster.pod and cluster.pod.uid == status.pod_uid:
            claim = cluster.pod.volume_claim
            assert claim == status.volume_claim or not claim
            # A predecessor may have died between the pod and its claim. The pod of a pool has had one.
            assert not claim or cluster.volumes.get(claim, "" if cluster.pod.claimed else UID) == UID

    @invariant()
    def a_key_that_was_told_stays(self) -> None:
        if self.cluster.turns > self.turns:
            # It may be another sandbox.
            self.turns, self.told_key = self.cluster.turns, ""
        status = self.cluster.sandbox.status
        if self.told_key and status.key_id:
            assert status.key_id == self.told_key
        self.told_key = self.told_key or status.key_id

    @invariant()
    def a_remedy_is_told_once(self) -> None:
        for told in self.cluster.sandbox.status.conditions:
            if told.type == "Ready":
                assert told.message.count("Remedy: ") == bool(MEANINGS[Reason(told.reason)].remedy)


def _does_nothing(steps: Plan) -> bool:
    return not writes(steps) and steps.status is None and not steps.events


class TestCluster(Cluster.TestCase):
    settings = settings(max_examples=sampling.count(60, 200), stateful_step_count=30)

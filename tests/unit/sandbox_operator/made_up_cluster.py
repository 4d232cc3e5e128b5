"""One sandbox in a made-up cluster: its pod, its Secret and class, and what the operator does about it."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.kube import KubeObject
from sandbox_common.reasons import ExpiryReason, Reason
from sandbox_common.times import parse, rfc3339
from sandbox_crds.models import Sandbox, SandboxClass, SandboxStatus
from sandbox_operator.builders.volume import would_lose_workspace
from sandbox_operator.pools.claim_patch import brings_volume
from sandbox_operator.pools.matching import Miss, MissReason, obstacle
from sandbox_operator.reporting.findings import OVERDUE
from sandbox_operator.reporting.lifetime import nearest_limit
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.reporting.suspension import suspension_patch
from sandbox_operator.sandboxes.ownership import choose
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.world import Create, Made, Plan, Prepare, World
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, Pod, decode
from unit.sandbox_operator.cases import NO_POOL
from unit.sandbox_operator.samples import BEFORE, KEYS, NOW, UID, class_, condition, pod, ready, sandbox

NO_CONFIG = ClusterEvent("FailedMount", 'configmap "x" not found', "Pod", "", NOW)
GRACE = timedelta(seconds=30)
HOUR = timedelta(hours=1)


def _stored(body: KubeObject) -> KubeObject:
    return body | {"metadata": {**body["metadata"], "uid": "any", "creationTimestamp": rfc3339(NOW)}}


class MadeUpCluster:
    """The API server's objects, an operator's memory, and a record of all that the operator has done."""

    def __init__(self) -> None:
        self.now = NOW
        self.sandbox: Sandbox = sandbox()
        self.class_: SandboxClass | None = class_()
        self.pod: Pod | None = None
        self.quota = True
        self.mounts = True
        self.secret = ""
        """Id of the key that the Secret holds."""
        self.pods_made = 0
        self.free = 0
        """Warm pods."""
        self.others: list[Pod] = []
        """Further pods that the sandbox owns, by way of another operator."""
        self.volumes: dict[str, str] = {}
        """UIDs of the owners of volume claims, by the claim's name; "": none."""
        self.left_over: set[str] = set()
        """Volumes that were taken over, and whose pods were deleted before the status named them."""
        self.taken = self.unusable = ""
        self.keys: dict[str, str] = {}
        """Ids of the keys that pods hold, by the pod's UID."""
        self.miss: Miss | None = None
        self.made: Made | None = None
        self.looked: tuple[str, datetime, tuple[ClusterEvent, ...]] | None = None
        self.ended_by_operator: set[str] = set()
        self.prepared: set[str] = set()
        self.events: dict[str, str] = {}
        self.resumed_while_preparing = False
        self.turns = 0
        """How often a limit has made another sandbox of it, or a suspended one."""

    # What others do

    def edit(self, **spec: Any) -> None:
        """Change the spec."""
        changed = self.sandbox.spec.model_copy(update=spec)
        if changed != self.sandbox.spec:
            metadata = self.sandbox.metadata
            metadata = metadata.model_copy(update={"generation": metadata.generation + 1})
            self.sandbox = self.sandbox.model_copy(update={"spec": changed, "metadata": metadata})

    def delete_pod(self) -> None:
        """Ask for the pod's end, within its grace period."""
        assert self.pod
        if self.pod.deletion_requested is None:
            self.pod = replace(self.pod, deletion_requested=self.now, deletion_due=self.now + GRACE)

    def restart_operator(self) -> None:
        """The next one knows what the objects say."""
        self.made = self.looked = self.miss = None
        self.taken = self.unusable = ""

    def restore(self) -> None:
        """Make the Sandbox again from a backup with its status, and its volume claim. All else is gone."""
        status = self.sandbox.status.model_copy(update={"sandbox_uid": BEFORE})
        metadata = self.sandbox.metadata.model_copy(update={"generation": 1, "creation_timestamp": rfc3339(self.now)})
        self.sandbox = self.sandbox.model_copy(update={"status": status, "metadata": metadata})
        self.pod, self.secret = None, ""
        self.others.clear()
        self.volumes = {status.volume_claim: ""} if status.volume_claim in self.volumes else {}
        self.left_over.clear()
        self.restart_operator()

    def obstacle(self) -> Miss | None:
        """Why the sandbox gets no warm pod."""
        return obstacle(self.sandbox) or (None if self.free else NO_POOL)

    def lose_pod(self) -> None:
        """The pod is gone, and with it what it owns."""
        assert self.pod
        self._note_left_over(self.pod)
        self.pod = None

    def _note_left_over(self, ends: Pod) -> None:
        if brings_volume(self.sandbox, ends) and self.volumes.get(ends.volume_claim) == UID:
            self.left_over.add(ends.volume_claim)

    def claim(self) -> Pod:
        """A warm pod is the sandbox's from now on."""
        self.free -= 1
        self.pods_made += 1
        name = f"pool-{self.pods_made}"
        key_id = self.keys[name] = KEYS.key_id(name)
        now = self.now.replace(microsecond=0)
        seen = ready(ready=condition(True, since=now - HOUR))
        claimed: dict[str, Any] = {"claimed": now, "restarted_at": self.sandbox.spec.restarted_at, "sandbox": "one"}
        if self.class_ and self.class_.spec.workspace.persistent:
            claimed["volume_claim"] = name
            self.volumes[name] = name
        return replace(seen, name=name, uid=name, pool="pool", key_id=key_id, created=now - HOUR, **claimed)

    # What the operator does

    def plan(self, *, refusal: Refusal | None = None, prepared: str = "", at: datetime | None = None) -> Plan:
        """The steps, now or `at` another time."""
        surplus = self._choose()
        _, looked, pod_events = self.looked if self.looked and self._is_of_pod(self.looked[0]) else ("", None, ())
        world = World(
            self.sandbox,
            self.class_,
            self.pod,
            at or self.now,
            self.made,
            surplus=surplus,
            miss=self.miss,
            refusal=refusal,
            prepared=prepared,
            pod_events=pod_events,
            looked=looked,
            taken=self.taken,
        )
        return plan(world, KEYS)

    def act(self) -> int:
        """One pass; gives the number of writes, refused ones not counted."""
        steps, writes = self.plan(), 0
        if steps.restore:
            self.take_over()
        if steps.claim:
            self.miss = self.obstacle()
            if not self.miss:
                self.pod = self.claim()
                writes += 1
            steps = self.plan()
            assert not steps.claim
        if steps.take:
            writes += self.take(steps.take)
            steps = self.plan()
            assert not steps.take
        if steps.creates:
            self.tell(steps)
            refusal = self.create(steps.creates)
            writes += 0 if refusal else len(steps.creates)
            self.made = Made(self.secret, self.pod.uid if self.pod else "")
            steps = self.plan(refusal=refusal)
            assert not steps.creates
        if steps.look:
            events = () if self.mounts else (replace(NO_CONFIG, uid=steps.look.uid, seen=self.now),)
            self.looked = (steps.look.uid, self.now, events)
            steps = self.plan()
            assert steps.look is None
        writes += self.finish(steps)
        if steps.prepare:
            steps = self._prepare(steps.prepare)
            writes += self.finish(steps)
        if steps.requeue_at:
            assert self.now < steps.requeue_at
        return writes

    def take_over(self) -> None:
        """Take over the volume claim that was the sandbox's before it was restored."""
        claim = self.sandbox.status.volume_claim
        assert self.volumes.get(claim, "") in {"", UID}
        if claim in self.volumes:
            self.volumes[claim] = UID

    def take(self, claimed: Pod) -> int:
        """Take over the volume of the claimed pod, or find that this is impossible; gives the number of writes."""
        owner = self.volumes.get(claimed.volume_claim)
        assert owner in {UID, claimed.uid, None}
        if owner is None:
            self.unusable, self.miss = claimed.uid, Miss(MissReason.VOLUME_FAILED)
            return 0
        self.volumes[claimed.volume_claim], self.taken = UID, claimed.uid
        return int(owner != UID)

    def create(self, creates: Collection[Create]) -> Refusal | None:
        """Make the objects; the pod only if there is room."""
        by_kind = {create.resource.plural: create for create in creates}
        if secret := by_kind.get("secrets"):
            assert secret.key_ids
            if self.secret not in secret.key_ids:
                self.secret = secret.body["metadata"]["annotations"][KEY_ID_ANNOTATION]
        claim = (
            by_kind["persistentvolumeclaims"].body["metadata"]["name"] if "persistentvolumeclaims" in by_kind else ""
        )
        if claim:
            assert self.volumes.setdefault(claim, UID) == UID
        if "pods" not in by_kind:
            return None
        assert self.pod is None, "a pod is made while there is one"
        if any(other.name == pod().name for other in self.others):
            return Refusal(Reason.PENDING, "the one of this name goes first")
        if not self.quota:
            return Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota")
        self.pods_made += 1
        restarted_at = self.sandbox.spec.restarted_at
        created = self.now.replace(microsecond=0)
        mounted = decode(_stored(by_kind["pods"].body)).volume_claim
        if mounted:
            assert self.volumes.get(mounted, UID) == UID
            assert mounted == self.sandbox.status.volume_claim or not self.sandbox.status.volume_claim
        foreign = by_kind["pods"].body["metadata"].get("annotations", {}).get(KEY_ID_ANNOTATION, "")
        self.pod = replace(
            pod(),
            uid=f"pod-{self.pods_made}",
            created=created,
            restarted_at=restarted_at,
            key_id=foreign,
            volume_claim=mounted,
        )
        self.keys[self.pod.uid] = self.secret
        return None

    def tell(self, steps: Plan) -> None:
        """Post events; the name decides whether one is new, which none of a living operator's is not."""
        for event in (*steps.events, *steps.afterwards):
            name = event["metadata"]["name"]
            if event["reason"] == "PodLost":
                self._is_lost(name.rpartition(".")[2])
            self.events[name] = event["reason"]

    def finish(self, steps: Plan) -> int:
        """All but creations, looks and preparations; gives the number of writes."""
        if not steps.creates:
            self.tell(steps)
        writes = 0
        if steps.status:
            old = self.sandbox.status.model_dump(by_alias=True)
            assert all(old[field] != value for field, value in steps.status.items())
            status = SandboxStatus.model_validate({**old, **steps.status})
            self.sandbox = self.sandbox.model_copy(update={"status": status})
            writes += 1
        for other in steps.surplus:
            assert self.sandbox.status.pod_uid != other.uid, "somebody has been told of it"
            self.ended_by_operator.add(other.uid)
            self.others.remove(other)
            if brings_volume(self.sandbox, other) and other.volume_claim in self.volumes:
                self.volumes[other.volume_claim] = other.uid
            writes += 1
        if steps.delete:
            assert self.pod
            assert self.pod.uid == steps.delete.uid
            assert not self.pod.is_ready or self.pod.is_finished or self.pod.uid in self.prepared, "its work is lost"
            self.ended_by_operator.add(self.pod.uid)
            self.delete_pod()
            writes += 1
        if steps.abandon:
            assert self.pod
            assert self.pod.uid == steps.abandon.uid
            assert self.pod.deletion_due
            assert self.now >= self.pod.deletion_due + OVERDUE
            assert self.pod.is_local, "another pod may write to its volume"
            self.pod = None
            writes += 1
        if steps.suspend:
            has_work = self.pod and self._is_of_pod(self.sandbox.status.pod_uid) and self.sandbox.status.ready_time
            assert not has_work or not would_lose_workspace(self.class_, self.pod), "its work is lost"
            self._suspend(steps.suspend)
            writes += 1
        if steps.expire:
            self._expire()
            writes += 1
        return writes

    def suspend(self, reason: Any, note: str) -> None:
        """The operator's own patch of the spec."""
        patch = suspension_patch(self.sandbox, reason, note)
        self.edit(suspend=patch["spec"]["suspend"], suspend_reason=patch["spec"]["suspendReason"])
        metadata = self.sandbox.metadata.model_copy(update={"annotations": patch["metadata"]["annotations"]})
        self.sandbox = self.sandbox.model_copy(update={"metadata": metadata})

    def _prepare(self, prepare: Prepare) -> Plan:
        assert prepare.key_id == self.keys[prepare.pod.uid]
        self.prepared.add(prepare.pod.uid)
        if self.resumed_while_preparing:
            self.edit(suspend=False, suspend_reason="")
        return self.plan(prepared=prepare.pod.uid)

    def _choose(self) -> tuple[Pod, ...]:
        """Have `pod` be the sandbox's own; gives those that are too many."""
        pods = [*([self.pod] if self.pod else []), *self.others]
        there = {"", UID, *(seen.uid for seen in pods)}
        self.volumes = {name: owner for name, owner in self.volumes.items() if owner in there}
        self.pod, surplus = choose(self.sandbox, pods, KEYS, self.unusable)
        self.others = [other for other in pods if other is not self.pod]
        for other in self.others:
            if other.deletion_requested:
                self._note_left_over(other)
        return surplus

    def _is_of_pod(self, uid: str) -> bool:
        return self.pod is not None and self.pod.uid == uid

    def _is_lost(self, uid: str) -> None:
        told = self.sandbox.status.condition("Ready")
        # A pod that the operator ends may go with its node first.
        lost_with_node = told is not None and told.reason == Reason.NODE_LOST
        assert lost_with_node or uid not in self.ended_by_operator, "the operator has deleted the pod"

    def _suspend(self, note: str) -> None:
        self.turns += 1
        assert self.class_
        assert self.sandbox.status.first_ready_time
        assert not (self.pod and self.pod.is_ready)
        begun = parse(self.sandbox.status.starting_since)
        assert self.now - begun >= timedelta(seconds=self.class_.spec.progress_deadline_seconds)
        self.suspend("StartTimeout", note)

    def _expire(self) -> None:
        """The sandbox goes with all that is its; another of its name follows."""
        self.turns += 1
        told = self.sandbox.status.condition("Expiring")
        limit = nearest_limit(self.sandbox, self.class_, self.pod)
        assert told
        assert limit
        assert (told.status, told.reason) == ("True", limit.reason)
        assert self.now >= max(limit.end, parse(told.last_transition_time) + limit.notice)
        if limit.reason is ExpiryReason.NEVER_READY:
            assert not self.sandbox.status.first_ready_time
        metadata = sandbox().metadata.model_copy(update={"creation_timestamp": rfc3339(self.now)})
        self.sandbox = sandbox().model_copy(update={"metadata": metadata})
        self.pod = None
        self.others.clear()
        self.volumes.clear()
        self.left_over.clear()
        self.secret = ""
        self.restart_operator()

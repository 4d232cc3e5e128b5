"""Sandboxes that may have, or have, a warm pod."""

from dataclasses import replace
from datetime import timedelta

from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import SandboxStatus
from sandbox_operator.pools.matching import Miss, MissReason
from sandbox_operator.sandboxes.situation import PATIENCE
from sandbox_operator.sandboxes.world import Made
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.cases import Case
from unit.sandbox_operator.samples import (
    KEY_ID,
    KEYS,
    LATER,
    NOW,
    POD_UID,
    VOLUME,
    condition,
    pod,
    podless,
    ready,
    sandbox,
    status,
)

WARM_KEY = KEYS.key_id("pool-a")
EARLIER = NOW - timedelta(hours=1)
CLAIMED: Pod = replace(
    ready(ready=condition(True, since=EARLIER)),
    name="pool-a",
    created=EARLIER,
    sandbox="one",
    pool="pool",
    key_id=WARM_KEY,
    claimed=NOW,
)
BRINGS = replace(CLAIMED, volume_claim=VOLUME)
"""With a volume that no status names."""
TOLD = status(
    Reason.READY,
    launch="Warm",
    pool="pool",
    key_id=WARM_KEY,
    pod_name="pool-a",
    start_time=rfc3339(EARLIER),
    ready_time=rfc3339(NOW),
)
ASLEEP = podless(Reason.SUSPENDED, key_id=WARM_KEY, launch="Warm", first_ready_time=rfc3339(NOW))
EMPTY = Miss(MissReason.POOL_EMPTY, "Pool pool has no free pod that is ready.", "pool")
CLAIMS = {
    # Who asks for a warm pod
    "new": Case(sandbox(), miss=None, writes=("claim",)),
    "new, with Service": Case(sandbox(service="Headless"), miss=None, writes=("claim",)),
    "new, and there is none": Case(sandbox(), miss=EMPTY, writes=("secrets", "pods")),
    "new, and its class is missing": Case(sandbox(), miss=None, class_=None, requeue_at=NOW + PATIENCE),
    "was begun cold": Case(sandbox(), miss=None, made=Made(KEY_ID), writes=("secrets", "pods")),
    "its key was told": Case(
        sandbox(status=SandboxStatus().model_copy(update={"key_id": KEY_ID})), miss=None, writes=("secrets", "pods")
    ),
    "it had a pod": Case(
        sandbox(status=status(Reason.STARTING, key_id="")), miss=None, writes=("secrets", "pods"), events=("PodLost",)
    ),
    "resumed": Case(sandbox(status=ASLEEP), miss=None, now=LATER, writes=("secrets", "pods")),
    # What follows a claim
    "claimed": Case(sandbox(), CLAIMED, miss=None, told=Reason.READY),
    "claimed, class gone": Case(sandbox(), CLAIMED, miss=None, class_=None, told=Reason.READY),
    "claimed, with Service": Case(sandbox(service="Headless"), CLAIMED, miss=None, writes=("services",)),
    "claimed, Service made": Case(
        sandbox(service="Headless"), CLAIMED, miss=None, made=Made("", POD_UID), told=Reason.READY
    ),
    "claimed and told": Case(sandbox(status=TOLD), CLAIMED, now=LATER),
    "claimed for a Sandbox that was made after the pod, to be restarted before the claim": Case(
        sandbox(status=TOLD, restartedAt=rfc3339(NOW - timedelta(minutes=1))), CLAIMED, now=LATER
    ),
    "to be restarted": Case(
        sandbox(status=TOLD, restartedAt=rfc3339(LATER)),
        CLAIMED,
        now=LATER,
        writes=("prepare",),
        told=Reason.POD_TERMINATING,
        message="Restarted on request: the pod ends; a new one follows.",
    ),
    "claimed pod is lost": Case(
        sandbox(status=TOLD), now=LATER, miss=None, writes=("secrets", "pods"), events=("PodLost",)
    ),
    "suspended between claim and status": Case(
        sandbox(suspend=True, generation=2),
        CLAIMED,
        now=LATER,
        writes=("prepare",),
        told=Reason.SUSPENDING,
        message=("The pod ends. Suspended on request. The workspace was not kept, because it was not on a volume."),
    ),
    # Volumes that came with the pod
    "claimed with a volume": Case(sandbox(), BRINGS, miss=None, writes=("take",)),
    "claimed with a volume, class gone": Case(sandbox(), BRINGS, miss=None, class_=None, writes=("take",)),
    "suspended before its volume is taken": Case(sandbox(suspend=True, generation=2), BRINGS, writes=("take",)),
    "deleted before its volume is taken": Case(
        sandbox(deleted=True),
        BRINGS,
        writes=("prepare",),
        told=Reason.TERMINATING,
        message="The Sandbox is being deleted.",
    ),
    "its volume is taken": Case(sandbox(), BRINGS, miss=None, taken=POD_UID, told=Reason.READY),
    "its volume was taken for another pod": Case(sandbox(), BRINGS, taken="another", writes=("take",)),
    "the status names its volume": Case(
        sandbox(status=TOLD.model_copy(update={"volume_claim": VOLUME, "workspace_kept": True})), BRINGS, now=LATER
    ),
    # Pods that are too many
    "surplus": Case(sandbox(status=TOLD), CLAIMED, surplus=(pod(uid="cold"),), now=LATER, writes=("delete surplus",)),
    "surplus of a suspended one": Case(
        sandbox(status=ASLEEP, suspend=True), surplus=(CLAIMED,), now=LATER, writes=("delete surplus",)
    ),
    "surplus of one that is deleted": Case(
        sandbox(deleted=True),
        surplus=(CLAIMED,),
        writes=("delete surplus",),
        told=Reason.TERMINATING,
        message="The Sandbox is being deleted.",
    ),
    "surplus before its own is made": Case(
        sandbox(warmStart="Never"), surplus=(CLAIMED,), writes=("delete surplus", "secrets", "pods")
    ),
}

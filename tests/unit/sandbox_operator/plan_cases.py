"""Worlds, and what is to be done in them."""

from dataclasses import dataclass, replace
from datetime import datetime

from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_crds.reasons import Reason
from sandbox_operator.plan import PATIENCE, SHORTEST_LIFE, Made, Refusal
from sandbox_operator.pods import Pod
from sandbox_operator.times import rfc3339
from unit.sandbox_operator.samples import (
    IMAGE,
    KEY_ID,
    LATER,
    NOW,
    POD_UID,
    SOON,
    class_,
    condition,
    container,
    on_node,
    pod,
    podless,
    ready,
    run,
    runs,
    sandbox,
    status,
    waits,
)

CLASS = class_()
KEPT = class_(workspace={"persistent": True})
MADE = Made(KEY_ID, POD_UID)


@dataclass(frozen=True)
class Case:
    """`writes` are creations and deletions by plural; `told` is the reason that is written, if any."""

    sandbox: Sandbox
    pod: Pod | None = None
    class_: SandboxClass | None = CLASS
    now: datetime = SOON
    made: Made | None = None
    refusal: Refusal | None = None
    writes: tuple[str, ...] = ()
    told: Reason | None = None
    message: str = ""
    requeue_at: datetime | None = None


READY = status(Reason.READY, pod_ip="10.244.0.7", ready_time=rfc3339(SOON))
SUSPENDED = podless(Reason.SUSPENDED, "The workspace is kept.", launch="Cold")
BOOTING = "On node node-1: the image is pulled if it is not there, then the agent server boots."
REPLACES = "The earlier pod is gone, this one replaces it."
OTHER_POD = replace(runs(), uid="another", created=LATER)
ENDING = replace(ready(), deletion_requested=LATER)
FAILED = pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
EVICTED = "Evicted: The node was low on resource: memory. It is replaced."

CASES = {
    # Cold start
    "new": Case(sandbox(), writes=("secrets", "pods")),
    "new, with volume": Case(sandbox(), class_=KEPT, writes=("secrets", "persistentvolumeclaims", "pods")),
    "new, with Service": Case(sandbox(service="Headless"), writes=("secrets", "services", "pods")),
    "new, class missing": Case(sandbox(), class_=None, requeue_at=NOW + PATIENCE),
    "class missing for long": Case(
        sandbox(),
        class_=None,
        now=LATER,
        told=Reason.SANDBOX_CLASS_NOT_FOUND,
        message="There is no SandboxClass default in this namespace.",
    ),
    "just made": Case(sandbox(), pod(), made=MADE, requeue_at=NOW + PATIENCE),
    "boots": Case(sandbox(), runs(), made=MADE, requeue_at=NOW + PATIENCE),
    "boots for long": Case(sandbox(), runs(), made=MADE, now=LATER, told=Reason.STARTING, message=BOOTING),
    "waits for a node for long": Case(
        sandbox(), pod(), made=MADE, now=LATER, told=Reason.PENDING, message="The pod waits for a node."
    ),
    "is ready soon": Case(sandbox(), ready(), made=MADE, told=Reason.READY),
    "has something to say at once": Case(
        sandbox(),
        waits("ErrImagePull", "not found"),
        made=MADE,
        told=Reason.IMAGE_PULL_BACK_OFF,
        message=f"ImagePullBackOff: the image {IMAGE} cannot be pulled: not found",
    ),
    # After a crash of the operator nobody knows whether all was made.
    "pod made by a predecessor": Case(sandbox(), runs(), writes=("secrets",)),
    "pod made by a predecessor, class gone": Case(sandbox(), runs(), class_=None, requeue_at=NOW + PATIENCE),
    "all made but the pod": Case(sandbox(), made=Made(KEY_ID), writes=("secrets", "pods")),
    "pod told by a predecessor": Case(sandbox(status=status(Reason.STARTING, BOOTING)), runs(), now=LATER),
    # Nothing to do
    "settled": Case(sandbox(status=READY), ready(), now=LATER),
    "settled, class gone": Case(sandbox(status=READY), ready(), class_=None, now=LATER),
    "settled, spec edited": Case(
        sandbox(status=READY, generation=2, image="other"), ready(), now=LATER, told=Reason.READY
    ),
    "being deleted": Case(sandbox(deleted=True)),
    "being deleted with its pod": Case(sandbox(status=READY, deleted=True), ready()),
    "told already": Case(sandbox(status=status(Reason.STARTING, "in other words")), runs(), now=LATER),
    # Trouble
    "no longer answers": Case(
        sandbox(status=READY),
        on_node(container(waiting_reason="", running_since=NOW), ip="10.244.0.7", ready=condition(False, since=LATER)),
        now=LATER,
        told=Reason.NOT_RESPONDING,
        message="The agent server runs and does not answer its readiness probe.",
    ),
    "restarts": Case(
        sandbox(status=READY),
        runs(restarts=1, last_run=run(1, seconds=300)),
        now=LATER,
        told=Reason.CONTAINER_RESTARTING,
        message="Started again. The agent server ended with exit code 1.",
    ),
    "restarted once more": Case(
        sandbox(status=status(Reason.CRASH_LOOP_BACK_OFF, "The agent server ended with exit code 1.", restart_count=2)),
        runs(restarts=3, last_run=run(1)),
        now=LATER,
        told=Reason.CRASH_LOOP_BACK_OFF,
        message="The agent server ended with exit code 1.",
    ),
    "evicted": Case(
        sandbox(status=READY),
        FAILED,
        now=LATER,
        writes=("delete pods",),
        told=Reason.POD_FAILED,
        message=EVICTED,
    ),
    "rejected by its node at once": Case(
        sandbox(), FAILED, told=Reason.POD_FAILED, message=EVICTED, requeue_at=NOW + SHORTEST_LIFE
    ),
    "deleted by somebody": Case(
        sandbox(status=READY),
        ENDING,
        now=LATER,
        told=Reason.POD_TERMINATING,
        message="The pod ends; a new one follows.",
    ),
    "pod vanished": Case(sandbox(status=READY), now=LATER, writes=("secrets", "pods")),
    "pod vanished, another is there": Case(
        sandbox(status=READY),
        OTHER_POD,
        now=LATER,
        made=Made(KEY_ID, "another"),
        told=Reason.STARTING,
        message=f"{REPLACES} {BOOTING}",
    ),
    "pod vanished while it started, another is there": Case(
        sandbox(status=status(Reason.STARTING, BOOTING)),
        OTHER_POD,
        now=LATER,
        made=Made(KEY_ID, "another"),
        requeue_at=LATER + PATIENCE,
    ),
    "pod of somebody else": Case(sandbox(), pod(owner_uid="other"), writes=("secrets", "pods")),
    # Refusals
    "refused": Case(
        sandbox(),
        refusal=Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: small"),
        made=Made(KEY_ID),
        told=Reason.QUOTA_EXCEEDED,
        message="exceeded quota: small",
    ),
    "refused again": Case(
        sandbox(status=podless(Reason.QUOTA_EXCEEDED, "exceeded quota: small")),
        refusal=Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: small"),
        made=Made(KEY_ID),
    ),
    # Suspend and resume
    "suspended from the start": Case(sandbox(suspend=True), told=Reason.SUSPENDED),
    "suspend": Case(
        sandbox(status=READY, suspend=True), ready(), now=LATER, writes=("delete pods",), requeue_at=LATER + PATIENCE
    ),
    "suspending": Case(sandbox(status=READY, suspend=True), ENDING, now=LATER, requeue_at=LATER + PATIENCE),
    "suspending for long": Case(
        sandbox(status=READY, suspend=True),
        ENDING,
        now=LATER + PATIENCE,
        told=Reason.SUSPENDING,
        message="The pod ends.",
    ),
    "suspended": Case(
        sandbox(status=READY, suspend=True), class_=KEPT, told=Reason.SUSPENDED, message="The workspace is kept."
    ),
    "suspended without a volume": Case(
        sandbox(status=READY, suspend=True),
        told=Reason.SUSPENDED,
        message="The workspace was not kept: the class default has no persistent workspace.",
    ),
    "suspended, class gone": Case(sandbox(status=READY, suspend=True), class_=None, told=Reason.SUSPENDED),
    "still suspended, class changed": Case(sandbox(status=SUSPENDED, suspend=True), now=LATER),
    "resume": Case(sandbox(status=SUSPENDED), now=LATER, writes=("secrets", "pods")),
    "resume before the old pod has ended": Case(
        sandbox(status=status(Reason.SUSPENDING, "The pod ends.")), ENDING, now=LATER, requeue_at=LATER + PATIENCE
    ),
}

"""Suspensions, restarts, lost pods and limits."""

from dataclasses import replace
from datetime import timedelta

from sandbox_crds.models import Condition, SandboxStatus
from sandbox_crds.reasons import EXPIRIES, ExpiryReason, Reason
from sandbox_operator.findings import OVERDUE
from sandbox_operator.plan import PATIENCE
from sandbox_operator.status import with_remedy
from sandbox_operator.times import rfc3339
from unit.sandbox_operator.cases import KEPT, MADE, Case
from unit.sandbox_operator.plan_cases import BOOTING, CREATING, READY
from unit.sandbox_operator.samples import (
    LATER,
    NOW,
    POD_UID,
    class_,
    condition,
    pod,
    podless,
    ready,
    runs,
    sandbox,
    status,
)

REQUESTED = "Suspended on request."
IS_KEPT = "The workspace is kept."
NOT_KEPT = "The workspace was not kept: the class default has no persistent workspace."
SUSPENDED = podless(Reason.SUSPENDED, f"{REQUESTED} {IS_KEPT}", launch="Cold", first_ready_time=rfc3339(NOW))
ASLEEP = SUSPENDED.model_copy(update={"conditions": podless(Reason.IDLE, f"Idle for long. {IS_KEPT}").conditions})
SUSPENDING = status(Reason.SUSPENDING, "The pod ends.")
ENDING = replace(ready(), deletion_requested=LATER, deletion_due=LATER + timedelta(seconds=30))
ENDING_START = replace(runs(), deletion_requested=LATER, deletion_due=LATER + timedelta(seconds=30))
LOST_AT = LATER + timedelta(seconds=30) + OVERDUE
CREATE = ("secrets", "pods")
TERMINATING = "The pod ends; a new one follows."
RESTARTS = "Restarted on request: the pod ends; a new one follows."
DRAINED = replace(ENDING, disruption=condition(True, "EvictionByEvictionAPI", "Eviction API: evicting"))
SILENT = replace(ready(), ready=condition(False, "", "the node is gone", LATER))

SUSPENSIONS = {
    "suspended from the start": Case(sandbox(suspend=True), told=Reason.SUSPENDED, message=REQUESTED),
    "suspend": Case(
        sandbox(status=READY, suspend=True), ready(), now=LATER, writes=("prepare",), requeue_at=LATER + PATIENCE
    ),
    "suspend, prepared": Case(
        sandbox(status=READY, suspend=True),
        ready(),
        now=LATER,
        prepared=POD_UID,
        writes=("delete pods",),
        requeue_at=LATER + PATIENCE,
    ),
    "suspend, another pod was prepared": Case(
        sandbox(status=READY, suspend=True),
        ready(),
        now=LATER,
        prepared="another",
        writes=("prepare",),
        requeue_at=LATER + PATIENCE,
    ),
    "suspend while it starts": Case(
        sandbox(status=status(Reason.STARTING, BOOTING), suspend=True),
        runs(),
        now=LATER,
        writes=("delete pods",),
        requeue_at=LATER + PATIENCE,
    ),
    "suspending": Case(sandbox(status=READY, suspend=True), ENDING, now=LATER, requeue_at=LATER + PATIENCE),
    "suspending for long": Case(
        sandbox(status=READY, suspend=True, suspendReason="Requested"),
        ENDING,
        now=LATER + PATIENCE,
        told=Reason.SUSPENDING,
        message=f"The pod ends. {REQUESTED} {NOT_KEPT}",
        requeue_at=LOST_AT,
    ),
    "suspending on a lost node": Case(
        sandbox(status=SUSPENDING, suspend=True),
        ENDING,
        class_=KEPT,
        now=LOST_AT,
        told=Reason.SUSPENDING,
        message=(
            "The pod cannot end. Node node-1 does not report: the pod was to have ended at 2026-11-23T12:01:00Z. "
            f"{REQUESTED} {IS_KEPT}"
        ),
    ),
    "suspended": Case(
        sandbox(status=READY, suspend=True), class_=KEPT, told=Reason.SUSPENDED, message=f"{REQUESTED} {IS_KEPT}"
    ),
    "suspended without a volume": Case(
        sandbox(status=READY, suspend=True), told=Reason.SUSPENDED, message=f"{REQUESTED} {NOT_KEPT}"
    ),
    "suspended, class gone": Case(
        sandbox(status=READY, suspend=True), class_=None, told=Reason.SUSPENDED, message=REQUESTED
    ),
    "still suspended, class changed": Case(sandbox(status=SUSPENDED, suspend=True), now=LATER),
    "suspended for being idle": Case(
        sandbox(status=READY, suspend=True, suspendReason="Idle", note="Idle since noon."),
        class_=KEPT,
        told=Reason.IDLE,
        message=f"Idle since noon. {IS_KEPT}",
    ),
    "suspended for being idle, by hand": Case(
        sandbox(status=READY, suspend=True, suspendReason="Idle"),
        class_=KEPT,
        told=Reason.IDLE,
        message=f"It was idle for longer than its idle timeout. {IS_KEPT}",
    ),
    "suspended for its start": Case(
        sandbox(status=READY, suspend=True, suspendReason="StartTimeout", note="Took too long."),
        told=Reason.START_TIMEOUT,
        message=f"Took too long. {NOT_KEPT}",
    ),
    "asleep, and now suspended on request": Case(
        sandbox(status=ASLEEP, suspend=True, suspendReason="Requested", note="Idle for long."),
        now=LATER,
        told=Reason.SUSPENDED,
        message=f"{REQUESTED} {IS_KEPT}",
    ),
    "asleep, class changed": Case(
        sandbox(status=ASLEEP, suspend=True, suspendReason="Idle", note="Another note."), now=LATER
    ),
    "resume": Case(sandbox(status=SUSPENDED), now=LATER, writes=CREATE),
    "resume before the old pod has ended": Case(
        sandbox(status=SUSPENDING), ENDING, now=LATER, requeue_at=LATER + PATIENCE
    ),
    "resume before the old pod has ended for long": Case(
        sandbox(status=SUSPENDING),
        ENDING,
        now=LATER + PATIENCE,
        told=Reason.POD_TERMINATING,
        message=TERMINATING,
        requeue_at=LOST_AT,
    ),
}

REPLACEMENTS = {
    "restart": Case(
        sandbox(status=READY, restartedAt=rfc3339(LATER)),
        ready(),
        now=LATER,
        writes=("prepare",),
        told=Reason.POD_TERMINATING,
        message=RESTARTS,
    ),
    "restart, told and prepared": Case(
        sandbox(status=status(Reason.POD_TERMINATING, RESTARTS), restartedAt=rfc3339(LATER)),
        ready(),
        now=LATER,
        prepared=POD_UID,
        writes=("delete pods",),
    ),
    "restart of a start": Case(
        sandbox(status=status(Reason.STARTING, BOOTING), restartedAt=rfc3339(LATER)),
        runs(),
        now=LATER,
        writes=("delete pods",),
        told=Reason.POD_TERMINATING,
        message=RESTARTS,
    ),
    "restarting": Case(
        sandbox(status=status(Reason.POD_TERMINATING, RESTARTS), restartedAt=rfc3339(LATER)),
        ENDING,
        now=LATER + PATIENCE,
        requeue_at=LOST_AT,
    ),
    "restarted": Case(
        sandbox(status=status(Reason.POD_TERMINATING, RESTARTS), restartedAt=rfc3339(LATER)), now=LATER, writes=CREATE
    ),
    "restarted before": Case(sandbox(status=READY, restartedAt=rfc3339(NOW)), ready(), now=LATER),
    "restarted by a clock that is ahead": Case(
        sandbox(status=READY, restartedAt=rfc3339(LATER)), replace(ready(), restarted_at=rfc3339(LATER)), now=LATER
    ),
    "restarted at no time": Case(sandbox(status=READY, restartedAt="----------T::::::::Z"), ready(), now=LATER),
    "deleted by somebody": Case(
        sandbox(status=READY),
        ENDING,
        now=LATER,
        events=("PodLost",),
        told=Reason.POD_TERMINATING,
        message=TERMINATING,
        requeue_at=LOST_AT,
    ),
    "deleted by somebody, and told": Case(
        sandbox(status=status(Reason.POD_TERMINATING, TERMINATING)), ENDING, now=LATER + PATIENCE, requeue_at=LOST_AT
    ),
    "deleted by somebody while it starts": Case(sandbox(), ENDING_START, now=LATER, requeue_at=LATER + PATIENCE),
    "deleted by somebody while it starts, for long": Case(
        sandbox(),
        ENDING_START,
        now=LATER + PATIENCE,
        events=("PodLost",),
        told=Reason.POD_TERMINATING,
        message=TERMINATING,
        requeue_at=LOST_AT,
    ),
    "node is drained": Case(
        sandbox(status=READY),
        DRAINED,
        now=LATER,
        events=("PodLost",),
        told=Reason.EVICTED,
        message=f"EvictionByEvictionAPI: Eviction API: evicting. {TERMINATING}",
        requeue_at=LOST_AT,
    ),
    "node is drained, and told": Case(
        sandbox(status=status(Reason.EVICTED, f"EvictionByEvictionAPI: Eviction API: evicting. {TERMINATING}")),
        replace(DRAINED, ready=condition(False, "ContainersNotReady")),
        now=LATER + PATIENCE,
        requeue_at=LOST_AT,
    ),
    "node is lost, and its pod is deleted": Case(
        sandbox(status=READY),
        replace(SILENT, deletion_requested=LATER),
        now=LATER,
        told=Reason.NODE_LOST,
        message="Node node-1 does not report: the node is gone",
    ),
    "node is lost, and its pod is gone": Case(
        sandbox(status=status(Reason.NODE_LOST, "Node node-1 does not report.")),
        now=LATER,
        writes=CREATE,
        events=("PodLost",),
    ),
    "pod vanished": Case(sandbox(status=READY), now=LATER, writes=CREATE, events=("PodLost",)),
    "pod vanished while it started": Case(
        sandbox(status=status(Reason.STARTING, BOOTING)), now=LATER, writes=CREATE, events=("PodLost",)
    ),
    "pod vanished, and there is no room": Case(
        sandbox(status=podless(Reason.QUOTA_EXCEEDED, "exceeded quota: small")), now=LATER, writes=CREATE
    ),
    "deleted by somebody, and gone": Case(
        sandbox(status=status(Reason.POD_TERMINATING, TERMINATING)), now=LATER, writes=CREATE
    ),
    "evicted, and gone": Case(sandbox(status=status(Reason.EVICTED, "Evicted.")), now=LATER, writes=CREATE),
    "failed, and gone": Case(sandbox(status=status(Reason.POD_FAILED, "Failed.")), now=LATER, writes=CREATE),
    "resumed at once, pod ends": Case(
        sandbox(status=READY, generation=3),
        ENDING,
        now=LATER,
        told=Reason.POD_TERMINATING,
        message=TERMINATING,
        requeue_at=LOST_AT,
    ),
    "resumed at once, pod is gone": Case(sandbox(status=READY, generation=3), now=LATER, writes=CREATE),
    "spec edited once, pod vanished": Case(
        sandbox(status=READY, generation=2, image="other"), now=LATER, writes=CREATE, events=("PodLost",)
    ),
}

LIMITED = class_(maximumLifeSeconds=1000, maximumSuspendedSeconds=2000, progressDeadlineSeconds=100)
STARTED_LATE = status(Reason.STARTING, BOOTING, first_ready_time=rfc3339(NOW))
NEVER_STARTED = status(Reason.STARTING, BOOTING)
UNTIMED = class_(progressDeadlineSeconds=100)
OLD = NOW + timedelta(seconds=900)
"""When the sandbox's end for its age is announced."""
END = NOW + timedelta(seconds=1000)


def expiring(status_: SandboxStatus, reason: ExpiryReason, seconds: float, end: float) -> SandboxStatus:
    """The same status with the condition `Expiring`, told so many seconds after NOW about an end so many after it."""
    expiry = EXPIRIES[reason]
    message = f"It is deleted at {rfc3339(NOW + timedelta(seconds=end))}. {expiry.text}"
    told = Condition(
        type="Expiring",
        status="True",
        reason=reason,
        message=with_remedy(message, expiry.remedy),
        last_transition_time=rfc3339(NOW + timedelta(seconds=seconds)),
    )
    return status_.model_copy(update={"conditions": [*status_.conditions, told]})


ANNOUNCED = expiring(READY, ExpiryReason.MAXIMUM_LIFE, 900, 1000)
KEPT_LONG = expiring(SUSPENDED, ExpiryReason.SUSPENDED_TOO_LONG, 1800, 2000)
GIVEN_UP = expiring(NEVER_STARTED, ExpiryReason.NEVER_READY, 90, 100)

LIMITS = {
    "young": Case(sandbox(status=READY), ready(), LIMITED, LATER, requeue_at=OLD),
    "old": Case(
        sandbox(status=READY), ready(), LIMITED, OLD, events=("ExpiringSoon",), told=Reason.READY, requeue_at=END
    ),
    "old, and told": Case(sandbox(status=ANNOUNCED), ready(), LIMITED, OLD, requeue_at=END),
    "too old": Case(sandbox(status=ANNOUNCED), ready(), LIMITED, END, writes=("expire",), events=("Expired",)),
    "too old, and asleep": Case(
        sandbox(status=expiring(ASLEEP, ExpiryReason.MAXIMUM_LIFE, 900, 1000), suspend=True, suspendReason="Idle"),
        None,
        LIMITED,
        END,
        writes=("expire",),
        events=("Expired",),
    ),
    "far too old, and nobody has said so": Case(
        sandbox(status=READY),
        ready(),
        LIMITED,
        NOW + timedelta(days=1),
        events=("ExpiringSoon",),
        told=Reason.READY,
        requeue_at=NOW + timedelta(days=1, seconds=100),
    ),
    "far too old, and told just now": Case(
        sandbox(status=expiring(READY, ExpiryReason.MAXIMUM_LIFE, 86400, 86500)),
        ready(),
        LIMITED,
        NOW + timedelta(days=1, seconds=1),
        requeue_at=NOW + timedelta(days=1, seconds=100),
    ),
    "limit taken away": Case(sandbox(status=ANNOUNCED, maximumLifeSeconds=0), ready(), LIMITED, END, told=Reason.READY),
    "limit raised": Case(
        sandbox(status=ANNOUNCED, maximumLifeSeconds=100_000),
        ready(),
        LIMITED,
        END,
        told=Reason.READY,
        requeue_at=NOW + timedelta(seconds=99_700),
    ),
    "limit raised a little": Case(
        sandbox(status=ANNOUNCED, maximumLifeSeconds=1050),
        ready(),
        LIMITED,
        END,
        told=Reason.READY,
        requeue_at=NOW + timedelta(seconds=1050),
    ),
    "its own limit, class gone": Case(
        sandbox(status=READY, maximumLifeSeconds=1000), ready(), None, LATER, requeue_at=OLD
    ),
    "suspended for long": Case(
        sandbox(status=SUSPENDED, suspend=True, maximumLifeSeconds=0),
        None,
        LIMITED,
        NOW + timedelta(seconds=1800),
        events=("ExpiringSoon",),
        told=Reason.SUSPENDED,
        message=f"{REQUESTED} {IS_KEPT}",
        requeue_at=NOW + timedelta(seconds=2000),
    ),
    "suspended for too long": Case(
        sandbox(status=KEPT_LONG, suspend=True, maximumLifeSeconds=0),
        None,
        LIMITED,
        NOW + timedelta(seconds=2000),
        writes=("expire",),
        events=("Expired",),
    ),
    "resumed in time": Case(
        sandbox(status=KEPT_LONG, maximumLifeSeconds=0), None, LIMITED, NOW + timedelta(seconds=1999), writes=CREATE
    ),
    "resumed in time, and starts": Case(
        sandbox(status=KEPT_LONG, maximumLifeSeconds=0),
        replace(runs(), created=NOW + timedelta(seconds=1990)),
        LIMITED,
        NOW + timedelta(seconds=1999),
        made=MADE,
        told=Reason.STARTING,
        message=BOOTING,
    ),
    "start takes long": Case(
        sandbox(status=NEVER_STARTED),
        runs(),
        UNTIMED,
        NOW + timedelta(seconds=90),
        events=("ExpiringSoon",),
        told=Reason.STARTING,
        message=BOOTING,
        requeue_at=NOW + timedelta(seconds=100),
    ),
    "start takes too long": Case(
        sandbox(status=GIVEN_UP),
        runs(),
        UNTIMED,
        NOW + timedelta(seconds=100),
        writes=("expire",),
        events=("Expired",),
    ),
    "ready at the last moment": Case(
        sandbox(status=GIVEN_UP), ready(), UNTIMED, NOW + timedelta(seconds=100), told=Reason.READY
    ),
    "suspended at the last moment": Case(
        sandbox(status=GIVEN_UP, suspend=True),
        None,
        UNTIMED,
        NOW + timedelta(seconds=100),
        told=Reason.SUSPENDED,
        message=f"{REQUESTED} {NOT_KEPT}",
    ),
    "started anew at the last moment": Case(
        sandbox(status=GIVEN_UP, restartedAt=rfc3339(NOW + timedelta(seconds=99))),
        runs(),
        UNTIMED,
        NOW + timedelta(seconds=100),
        writes=("delete pods",),
        told=Reason.POD_TERMINATING,
        message=RESTARTS,
        requeue_at=NOW + timedelta(seconds=189),
    ),
    "start of one that was ready takes long": Case(
        sandbox(status=STARTED_LATE), runs(), UNTIMED, LATER, requeue_at=NOW + timedelta(seconds=100)
    ),
    "start of one that was ready takes too long": Case(
        sandbox(status=STARTED_LATE),
        CREATING,
        UNTIMED,
        NOW + timedelta(seconds=100),
        writes=("suspend",),
        events=("StartTimeout",),
    ),
    "resumed at once after that": Case(
        sandbox(status=STARTED_LATE, generation=3),
        runs(),
        UNTIMED,
        NOW + timedelta(seconds=100),
        told=Reason.STARTING,
        message=BOOTING,
    ),
    "stopped answering for long": Case(
        sandbox(status=status(Reason.NOT_RESPONDING, "", ready_time=rfc3339(NOW), starting_since="")),
        replace(runs(), ready=condition(False, since=LATER)),
        UNTIMED,
        NOW + timedelta(days=1),
        told=Reason.NOT_RESPONDING,
        message="The agent server runs and does not answer its readiness probe.",
    ),
    "no start is timed without a class": Case(
        sandbox(status=GIVEN_UP),
        pod(node="node-1", has_network=True),
        None,
        NOW + timedelta(seconds=100),
        told=Reason.STARTING,
        message=BOOTING,
    ),
}

LIFECYCLE = {**SUSPENSIONS, **REPLACEMENTS, **LIMITS}

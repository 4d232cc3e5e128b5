"""Suspensions and resumptions."""

from dataclasses import replace
from datetime import timedelta

from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_operator.reporting.findings import OVERDUE
from sandbox_operator.sandboxes.situation import PATIENCE
from unit.sandbox_operator.cases import KEPT, Case
from unit.sandbox_operator.plan_cases import BOOTING, READY
from unit.sandbox_operator.samples import LATER, NOW, POD_UID, VOLUME, condition, podless, ready, runs, sandbox, status

REQUESTED = "Suspended on request."
IS_KEPT = "The workspace is kept."
NOT_KEPT = "The workspace was not kept, because it was not on a volume."
SUSPENDED = podless(
    Reason.SUSPENDED, f"{REQUESTED} {IS_KEPT}", launch="Cold", first_ready_time=rfc3339(NOW), workspace_kept=True
)
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
        replace(ENDING, volume_claim=VOLUME),
        now=LOST_AT,
        told=Reason.SUSPENDING,
        message=(
            "The pod cannot end. Node node-1 does not report: the pod should have ended at 2026-11-23T12:01:00Z. "
            f"{REQUESTED} {IS_KEPT}"
        ),
    ),
    "suspended on a lost node before anything was told": Case(
        sandbox(suspend=True),
        replace(SILENT, volume_claim=VOLUME),
        now=LATER,
        writes=("delete pods",),
        told=Reason.SUSPENDING,
        message=f"The pod cannot end. Node node-1 does not report: the node is gone. {REQUESTED} {IS_KEPT}",
    ),
    "suspended": Case(
        sandbox(status=READY, suspend=True), class_=KEPT, told=Reason.SUSPENDED, message=f"{REQUESTED} {IS_KEPT}"
    ),
    "suspending, and its class gets volumes": Case(
        sandbox(status=READY, suspend=True, suspendReason="Requested"),
        ENDING,
        class_=KEPT,
        now=LATER + PATIENCE,
        told=Reason.SUSPENDING,
        message=f"The pod ends. {REQUESTED} {NOT_KEPT}",
        requeue_at=LOST_AT,
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

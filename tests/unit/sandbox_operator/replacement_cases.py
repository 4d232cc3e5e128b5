"""Pods that are restarted, deleted or lost."""

from dataclasses import replace
from datetime import timedelta

from sandbox_common.losses import LOSSES, LossReason
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_operator.reporting.findings import GIVEN_UP
from sandbox_operator.sandboxes.situation import PATIENCE
from unit.sandbox_operator.cases import Case
from unit.sandbox_operator.plan_cases import BOOTING, READY
from unit.sandbox_operator.samples import (
    LATER,
    NOW,
    POD_UID,
    condition,
    podless,
    ready,
    runs,
    sandbox,
    status,
)
from unit.sandbox_operator.suspension_cases import (
    CREATE,
    DRAINED,
    ENDING,
    ENDING_START,
    LOST_AT,
    NOT_KEPT,
    REQUESTED,
    RESTARTS,
    SILENT,
    TERMINATING,
)

DUE = LATER + timedelta(seconds=30)
NOT_ENDED = f"Node node-1 does not report: the pod should have ended at {rfc3339(DUE)}."

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
        remedy=LOSSES[LossReason.DRAINED].remedy,
        requeue_at=LOST_AT,
    ),
    "node is drained, and told": Case(
        sandbox(
            status=status(
                Reason.EVICTED,
                f"EvictionByEvictionAPI: Eviction API: evicting. {TERMINATING}",
                remedy=LOSSES[LossReason.DRAINED].remedy,
            )
        ),
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
    "node is lost, and its pod does not end": Case(
        sandbox(status=status(Reason.NODE_LOST, NOT_ENDED)),
        replace(SILENT, deletion_requested=LATER, deletion_due=DUE),
        now=LOST_AT,
    ),
    "node is lost, and its pod without a volume does not end": Case(
        sandbox(status=status(Reason.NODE_LOST, NOT_ENDED)),
        replace(SILENT, deletion_requested=LATER, deletion_due=DUE, is_local=True),
        now=LOST_AT,
        writes=("abandon pods",),
    ),
    "but not at once": Case(
        sandbox(status=status(Reason.NODE_LOST, "Node node-1 does not report: the node is gone")),
        replace(SILENT, deletion_requested=LATER, deletion_due=DUE, is_local=True),
        now=DUE,
        requeue_at=LOST_AT,
    ),
    "nor again, when only finalizers hold it": Case(
        sandbox(status=status(Reason.NODE_LOST, NOT_ENDED)),
        replace(SILENT, deletion_requested=DUE, deletion_due=DUE, is_local=True),
        now=LOST_AT,
    ),
    "a pod without a volume does not end, and nothing says why": Case(
        sandbox(status=status(Reason.NODE_LOST, NOT_ENDED)),
        replace(ENDING, is_local=True),
        now=LOST_AT,
        requeue_at=DUE + GIVEN_UP,
    ),
    "and is not waited for any longer": Case(
        sandbox(status=status(Reason.NODE_LOST, NOT_ENDED)),
        replace(ENDING, is_local=True),
        now=DUE + GIVEN_UP,
        writes=("abandon pods",),
    ),
    "suspended, and its pod without a volume does not end": Case(
        sandbox(status=READY, suspend=True, suspendReason="Requested"),
        replace(ENDING, is_local=True),
        now=DUE + GIVEN_UP,
        writes=("abandon pods",),
        told=Reason.SUSPENDING,
        message=f"The pod cannot end. {NOT_ENDED} {REQUESTED} {NOT_KEPT}",
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

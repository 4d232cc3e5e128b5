"""Limits of life, suspension and start."""

from dataclasses import replace
from datetime import timedelta

from sandbox_common.reasons import EXPIRIES, ExpiryReason, Reason
from sandbox_common.remedies import with_remedy
from sandbox_common.times import rfc3339
from sandbox_crds.models import Condition, SandboxStatus
from unit.sandbox_operator.cases import MADE, Case
from unit.sandbox_operator.plan_cases import BOOTING, CREATING, READY
from unit.sandbox_operator.samples import (
    LATER,
    NOW,
    VOLUME,
    class_,
    condition,
    pod,
    ready,
    runs,
    sandbox,
    status,
    waits,
)
from unit.sandbox_operator.suspension_cases import (
    ASLEEP,
    CREATE,
    IS_KEPT,
    NOT_KEPT,
    REQUESTED,
    RESTARTS,
    SUSPENDED,
)

LIMITED = class_(maximumLifeSeconds=1000, maximumSuspendedSeconds=2000, progressDeadlineSeconds=100)
STARTED_LATE = status(Reason.STARTING, BOOTING, first_ready_time=rfc3339(NOW))
NEVER_STARTED = status(Reason.STARTING, BOOTING)
UNTIMED = class_(progressDeadlineSeconds=100)
CRASHED = waits("CrashLoopBackOff", restarts=2)
CRASHING = status(
    Reason.CRASH_LOOP_BACK_OFF,
    "CrashLoopBackOff",
    ready_time=rfc3339(NOW),
    first_ready_time=rfc3339(NOW),
    restart_count=2,
)
OLD = NOW + timedelta(seconds=900)
"""When the sandbox's end for its age is announced."""
END = NOW + timedelta(seconds=1000)


def expiring(status_: SandboxStatus, reason: ExpiryReason, seconds: float, end: float) -> SandboxStatus:
    """The same status with the condition `Expiring`, told so many seconds after NOW about an end so many after it."""
    expiry = EXPIRIES[reason]
    message = f"It will be deleted at {rfc3339(NOW + timedelta(seconds=end))}. {expiry.text}"
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
    "resumed and suspended again in time": Case(
        sandbox(status=KEPT_LONG, suspend=True, generation=3, maximumLifeSeconds=0),
        None,
        LIMITED,
        NOW + timedelta(seconds=2000),
        told=Reason.SUSPENDED,
        message=f"{REQUESTED} {IS_KEPT}",
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
    "restart of one with work in its pod takes too long": Case(
        sandbox(status=CRASHING),
        CRASHED,
        UNTIMED,
        NOW + timedelta(seconds=100),
    ),
    "restart of one with work on a volume takes too long": Case(
        sandbox(status=CRASHING),
        replace(CRASHED, volume_claim=VOLUME),
        UNTIMED,
        NOW + timedelta(seconds=100),
        writes=("suspend",),
        events=("StartTimeout",),
    ),
    "restart of one with work on a volume, class gone": Case(
        sandbox(status=CRASHING), replace(CRASHED, volume_claim=VOLUME), None, NOW + timedelta(seconds=100)
    ),
    "restart of one whose class accepts the loss takes too long": Case(
        sandbox(status=CRASHING),
        CRASHED,
        class_(progressDeadlineSeconds=100, workspace={"discardOnSuspension": True}),
        NOW + timedelta(seconds=100),
        writes=("suspend",),
        events=("StartTimeout",),
    ),
    "restart of one whose class got volumes after its pod takes too long": Case(
        sandbox(status=CRASHING),
        CRASHED,
        class_(progressDeadlineSeconds=100, workspace={"persistent": True}),
        NOW + timedelta(seconds=100),
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

"""The status of a SandboxPool, and when it is worth a write."""

from datetime import datetime

from sandbox_common.reasons import MEANINGS, POOL_MEANINGS, PoolReason, Reason
from sandbox_common.remedies import with_remedy
from sandbox_crds.api import POOL_LABEL, SANDBOX_LABEL
from sandbox_crds.models import SandboxClass, SandboxPool, SandboxPoolStatus
from sandbox_operator.builders.refusals import refused
from sandbox_operator.pools.census import Census, State
from sandbox_operator.pools.record import Record
from sandbox_operator.reporting.conditions import READY, ready
from sandbox_operator.reporting.findings import Finding

_REFUSALS = {Reason.QUOTA_EXCEEDED: PoolReason.QUOTA_EXCEEDED}


def next_status(
    pool: SandboxPool,
    class_: SandboxClass | None,
    wanted: int,
    census: Census,
    record: Record,
    claimed: int,
    now: datetime,
) -> SandboxPoolStatus:
    """The whole status. Conditions of types of others stay as they are."""
    old = pool.status
    reason, message, remedy = _reason(pool, class_, wanted, census, record)
    others = [condition for condition in old.conditions if condition.type != READY]
    condition = ready(
        old.condition(READY),
        holds=reason is PoolReason.FILLED,
        reason=reason,
        message=with_remedy(message, remedy),
        now=now,
    )
    failing = census.count(State.FAILING)
    return SandboxPoolStatus(
        observed_generation=pool.metadata.generation,
        conditions=[condition, *others],
        desired_replicas=wanted,
        replicas=census.count(),
        ready_replicas=census.count(State.READY),
        starting_replicas=census.count() - census.count(State.READY) - failing,
        failing_replicas=failing,
        claimed_pods=claimed,
        selector=f"{POOL_LABEL}={pool.metadata.name},{SANDBOX_LABEL}=",
    )


def is_urgent(old: SandboxPoolStatus, new: SandboxPoolStatus) -> bool:
    """Whether people shall know at once: an answer to a change of the spec, a filled pool, or a new obstacle.

    That a filled pool is being filled again says little, and comes with each claim.
    """
    if old.observed_generation != new.observed_generation:
        return True
    before, after = old.condition(READY), new.condition(READY)
    if after is None or after.reason == PoolReason.FILLING:
        return False
    return before is None or before.reason != after.reason


def _reason(
    pool: SandboxPool, class_: SandboxClass | None, wanted: int, census: Census, record: Record
) -> tuple[PoolReason, str, str]:
    """Reason, message and remedy: the first that applies."""
    name = pool.spec.class_name
    if class_ is None:
        return _told(PoolReason.SANDBOX_CLASS_NOT_FOUND, f"There is no SandboxClass {name} in this namespace.")
    if class_.spec.workspace.persistent:
        return _told(PoolReason.PERSISTENT_WORKSPACE, f"SandboxClass {name} has workspace.persistent.")
    if why := refused(pool.spec, class_):
        return _told(PoolReason.POD_REFUSED, why)
    ready_pods = census.current.count(State.READY)
    if ready_pods >= wanted and not (census.outdated.count() or census.leaving):
        return _told(
            PoolReason.FILLED,
            f"{ready_pods} of {wanted} free pods are ready." if wanted else "No free pods are wanted.",
        )
    if record.refusal:
        reason = _REFUSALS.get(record.refusal.reason, PoolReason.POD_REFUSED)
        return _told(reason, record.refusal.message)
    if record.finding:
        return PoolReason.PODS_FAILING, *_failing(record.finding)
    waiting = census.current[State.WAITING]
    if waiting:
        return _told(PoolReason.UNSCHEDULABLE, census.findings[waiting[0].uid].message)
    if census.outdated.count():
        return _told(PoolReason.FILLING, "Free pods of an earlier template are being replaced.")
    if census.leaving:
        return _told(PoolReason.FILLING, f"{census.unfit}: free pods on such nodes are being replaced.")
    return _told(PoolReason.FILLING, f"{ready_pods} of {wanted} free pods are ready.")


def _told(reason: PoolReason, message: str) -> tuple[PoolReason, str, str]:
    return reason, message, POOL_MEANINGS[reason].remedy


def _failing(finding: Finding) -> tuple[str, str]:
    reason = "" if finding.message.startswith(finding.reason) else f"{finding.reason}: "
    remedies = (POOL_MEANINGS[PoolReason.PODS_FAILING].remedy, MEANINGS[finding.reason].remedy)
    return f"Pods do not become ready. {reason}{finding.message}", " ".join(filter(None, remedies))

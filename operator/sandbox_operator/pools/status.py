"""The status of a SandboxPool, and when a change of it is worth a write."""

from datetime import datetime

from sandbox_common.reasons import MEANINGS, POOL_MEANINGS, PoolReason, Reason
from sandbox_common.remedies import with_remedy
from sandbox_crds.api import POOL_LABEL, SANDBOX_LABEL
from sandbox_crds.models import SandboxClass, SandboxPool, SandboxPoolStatus
from sandbox_operator.builders.refusals import refused
from sandbox_operator.pools.free_pods import FreePods, PodState
from sandbox_operator.pools.refill_history import RefillHistory
from sandbox_operator.reporting.conditions import READY, condition
from sandbox_operator.reporting.findings import Finding

_REFUSALS = {Reason.QUOTA_EXCEEDED: PoolReason.QUOTA_EXCEEDED, Reason.PENDING: PoolReason.FILLING}


def next_status(
    pool: SandboxPool,
    class_: SandboxClass | None,
    wanted: int,
    free_pods: FreePods,
    history: RefillHistory,
    claimed: int,
    now: datetime,
) -> SandboxPoolStatus:
    """The whole status. Conditions of other types stay unchanged."""
    old = pool.status
    reason, message, remedy = _reason(pool, class_, wanted, free_pods, history)
    others = [other for other in old.conditions if other.type != READY]
    ready = condition(
        READY,
        old.condition(READY),
        holds=reason is PoolReason.FILLED,
        reason=reason,
        message=with_remedy(message, remedy),
        generation=pool.metadata.generation,
        now=now,
    )
    failing = free_pods.count(PodState.FAILING)
    return SandboxPoolStatus(
        observed_generation=pool.metadata.generation,
        conditions=[ready, *others],
        desired_replicas=wanted,
        replicas=free_pods.count(),
        ready_replicas=free_pods.count(PodState.READY),
        starting_replicas=free_pods.count() - free_pods.count(PodState.READY) - failing,
        failing_replicas=failing,
        claimed_pods=claimed,
        selector=f"{POOL_LABEL}={pool.metadata.name},{SANDBOX_LABEL}=",
    )


def is_urgent(old: SandboxPoolStatus, new: SandboxPoolStatus) -> bool:
    """Whether to write the status at once: it answers a change of the spec, or reports a filled pool or a new obstacle.

    A filled pool is refilled after each claim, which is not urgent.
    """
    if old.observed_generation != new.observed_generation:
        return True
    before, after = old.condition(READY), new.condition(READY)
    if after is None or after.reason == PoolReason.FILLING:
        return False
    return before is None or before.reason != after.reason


def _reason(
    pool: SandboxPool, class_: SandboxClass | None, wanted: int, free_pods: FreePods, history: RefillHistory
) -> tuple[PoolReason, str, str]:
    """Reason, message and remedy of the first case that applies."""
    name = pool.spec.class_name
    if class_ is None:
        return _with_remedy(PoolReason.SANDBOX_CLASS_NOT_FOUND, f"There is no SandboxClass {name} in this namespace.")
    if why := refused(pool.spec, class_):
        return _with_remedy(PoolReason.POD_REFUSED, why)
    ready_pods = free_pods.current.count(PodState.READY)
    if ready_pods >= wanted and not (free_pods.outdated.count() or free_pods.leaving):
        return _with_remedy(
            PoolReason.FILLED,
            f"{ready_pods} of {wanted} free pods are ready." if wanted else "No free pods are wanted.",
        )
    if history.refusal:
        reason = _REFUSALS.get(history.refusal.reason, PoolReason.POD_REFUSED)
        return _with_remedy(reason, history.refusal.message)
    if history.finding:
        return PoolReason.PODS_FAILING, *_failing(history.finding)
    unbound = free_pods.current[PodState.UNBOUND]
    if unbound:
        return _with_remedy(PoolReason.VOLUME_NOT_BOUND, free_pods.findings[unbound[0].uid].message)
    waiting = free_pods.current[PodState.WAITING]
    if waiting:
        return _with_remedy(PoolReason.UNSCHEDULABLE, free_pods.findings[waiting[0].uid].message)
    if free_pods.outdated.count():
        return _with_remedy(PoolReason.FILLING, "Free pods of an earlier template are being replaced.")
    if free_pods.leaving:
        return _with_remedy(PoolReason.FILLING, f"{free_pods.unfit}: free pods on such nodes are being replaced.")
    return _with_remedy(PoolReason.FILLING, f"{ready_pods} of {wanted} free pods are ready.")


def _with_remedy(reason: PoolReason, message: str) -> tuple[PoolReason, str, str]:
    return reason, message, POOL_MEANINGS[reason].remedy


def _failing(finding: Finding) -> tuple[str, str]:
    reason = "" if finding.message.startswith(finding.reason) else f"{finding.reason}: "
    remedies = (POOL_MEANINGS[PoolReason.PODS_FAILING].remedy, MEANINGS[finding.reason].remedy)
    return f"Pods do not become ready. {reason}{finding.message}", " ".join(filter(None, remedies))

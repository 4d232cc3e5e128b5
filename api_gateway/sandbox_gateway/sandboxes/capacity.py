"""What can still be started: pools of warm pods, how sandboxes have used them, and what is left of limits."""

from collections.abc import Collection, Iterable

from sandbox_common.api_keys import Limits
from sandbox_common.redaction import redacted
from sandbox_common.sandboxes.pool_starts import PoolStarts
from sandbox_crds.models import Sandbox, SandboxPool
from sandbox_gateway.contract.responses import LimitsResponse, PoolMisses, PoolsResponse, PoolState
from sandbox_gateway.proxy.steps import in_steps
from sandbox_gateway.sandboxes.api import Reach
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from sandbox_gateway.sandboxes.pools import Pools


class Capacity:
    """As this replica sees it, from memory."""

    def __init__(self, pools: Pools, cache: SandboxCache, limit_checks: LimitChecks) -> None:
        self._pools = pools
        self._cache = cache
        self._limit_checks = limit_checks

    async def pools(self, reach: Reach, classes: Collection[str] | None) -> PoolsResponse:
        """The pools of these classes, or all; and hits and misses of the sandboxes of this reach."""
        known = await self._pools.of_classes(classes)
        return pools_response(known, [found async for found in in_steps(self._cache.owned_by(reach))])

    def limits(self, owner: str) -> LimitsResponse:
        """The limits of this owner."""
        limits, used, queued = self._limit_checks.standing(owner)
        return limits_response(owner, limits, used, queued)


def pools_response(pools: Iterable[SandboxPool], sandboxes: Collection[Sandbox]) -> PoolsResponse:
    """Pools by name, and how these sandboxes have started."""
    starts = PoolStarts()
    for sandbox in sandboxes:
        starts.add(sandbox)
    return PoolsResponse(
        pools=[
            _state(pool, starts.hits[pool.metadata.name]) for pool in sorted(pools, key=lambda pool: pool.metadata.name)
        ],
        hits=starts.hits.total(),
        misses=[
            PoolMisses(reason=reason, count=count, details=list(dict.fromkeys(map(redacted, starts.details(reason)))))
            for reason, count in starts.most_common()
        ],
    )


def _state(pool: SandboxPool, claimed: int) -> PoolState:
    status, condition = pool.status, pool.status.condition("Ready")
    return PoolState(
        name=pool.metadata.name,
        sandbox_class=pool.spec.class_name,
        image=pool.spec.image,
        wanted=status.desired_replicas,
        free=status.ready_replicas,
        starting=status.starting_replicas,
        failing=status.failing_replicas,
        claimed=claimed,
        reason=condition.reason if condition else "",
        message=redacted(condition.message) if condition else "",
    )


def limits_response(owner: str, limits: Limits, used: dict[str, int], queued: int) -> LimitsResponse:
    """The limits that are set, and what is left of those that are counted."""
    present: dict[str, int] = limits.model_dump(by_alias=True, exclude_none=True)
    left = {name: max(0, present[name] - number) for name, number in used.items() if name in present}
    return LimitsResponse(owner=owner, limits=present, used=used, left=left, queued=queued)

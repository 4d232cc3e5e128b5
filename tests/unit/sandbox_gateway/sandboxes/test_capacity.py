"""Pools, how they were used, and what is left of limits."""

from typing import Any

from sandbox_common.api_keys import Limits
from sandbox_common.reasons import Reason
from sandbox_crds.models import SandboxPool
from sandbox_gateway.sandboxes.capacity import limits_response, pools_response
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from unit.sandbox_gateway.support import sandbox, sandbox_object, status, unconnected_cache


def pool(name: str, **state: Any) -> SandboxPool:
    return SandboxPool.model_validate({"metadata": {"name": name}, "spec": {"image": "agent:1"}, "status": state})


def started(**state: Any) -> Any:
    return sandbox(status=status(Reason.READY, **state))


def test_hits_and_misses_by_reason_with_what_differed() -> None:
    sandboxes = [
        started(launch="Warm", pool="b"),
        started(launch="Warm", pool="b"),
        started(launch="Warm", pool="deleted"),
        *(started(launch="Cold", poolMiss=f"EnvironmentDiffers: LOG_{number % 12}") for number in range(30)),
        started(launch="Resume", poolMiss="PoolEmpty"),
        started(launch="Resume"),
        sandbox(),
    ]
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "Filling",
        "message": "1 of 2.",
        "lastTransitionTime": "",
    }
    state = {"desiredReplicas": 2, "readyReplicas": 1, "startingReplicas": 1, "conditions": [condition]}
    found = pools_response([pool("b", **state), pool("a")], sandboxes)
    first, second = found.pools
    assert (first.name, first.wanted, first.free, first.claimed, first.reason) == ("a", 0, 0, 0, "")
    assert (second.name, second.wanted, second.free, second.starting, second.claimed) == ("b", 2, 1, 1, 2)
    assert (second.reason, second.message, second.sandbox_class) == ("Filling", "1 of 2.", "default")
    assert found.hits == 3
    differs, empty = found.misses
    assert (differs.reason, differs.count) == ("EnvironmentDiffers", 30)
    assert differs.details == [f"LOG_{number}" for number in range(10)]
    assert (empty.reason, empty.count, empty.details) == ("PoolEmpty", 1, [])


def test_what_is_left_of_limits() -> None:
    found = limits_response("a", Limits(running=3, life_seconds=60), {"running": 5, "sandboxes": 7}, 2)
    assert found.limits == {"running": 3, "lifeSeconds": 60}
    assert (found.used, found.left, found.queued) == ({"running": 5, "sandboxes": 7}, {"running": 0}, 2)
    assert limits_response("a", Limits(), {"running": 5, "sandboxes": 7}, 0).left == {}


async def test_what_counts_for_an_owner() -> None:
    cache = unconnected_cache()
    owned: tuple[dict[str, Any], ...] = (
        {"status": status(Reason.READY)},
        {"status": status(Reason.QUEUED)},
        {"spec": {"suspend": True}},
        {"spec": {"owner": "bob"}, "status": status(Reason.READY)},
    )
    for number, fields in enumerate(owned):
        cache.remember(sandbox_object(f"sb-{number}", version=number + 1, uid=str(number), **fields))
    checks = LimitChecks(cache, lambda owner: Limits(running=len(owner)))
    assert checks.standing("alice") == (Limits(running=5), {"running": 1, "sandboxes": 3}, 1)

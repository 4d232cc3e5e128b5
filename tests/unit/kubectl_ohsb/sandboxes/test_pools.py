"""Pools as rows, with hits and misses of the sandboxes that exist."""

from typing import Any

from kubectl_ohsb.sandboxes.pools import document, page
from sandbox_common.sandboxes.pool_starts import PoolStarts
from sandbox_crds.models import SandboxPool
from unit.sandbox_gateway.support import sandbox

HOSTILE = "\x1b[2J\u202e"


def pool(**status: Any) -> SandboxPool:
    ready = {"type": "Ready", "status": "False", "reason": "Filling", "message": HOSTILE, "lastTransitionTime": "t"}
    return SandboxPool.model_validate(
        {
            "metadata": {"name": "py"},
            "spec": {"image": "agent:1"},
            "status": {"desiredReplicas": 3, "replicas": 2, "readyReplicas": 1, "conditions": [ready], **status},
        }
    )


def starts() -> PoolStarts:
    found = PoolStarts()
    for status in (
        {"launch": "Warm", "pool": "py"},
        {"launch": "Cold", "poolMiss": f"Differs: image {HOSTILE}"},
        {"launch": "Cold", "poolMiss": "Differs: command"},
        {"launch": "Cold", "poolMiss": "NoneReady"},
        {"launch": "Resume", "pool": "py"},
        {},
    ):
        found.add(sandbox(status=status))
    return found


def test_hits_and_misses_are_those_of_first_starts() -> None:
    found = document([pool(claimedPods=4)], starts())
    [item] = found["items"]
    assert (item["wanted"], item["free"], item["ready"], item["claimed"], item["hits"]) == (3, 2, 1, 4, 1)
    assert [(miss["reason"], miss["count"]) for miss in found["misses"]] == [("Differs", 2), ("NoneReady", 1)]


def test_a_page_says_what_a_pool_lacks_and_controls_nothing() -> None:
    text = page([pool()], starts())
    assert all(line.isprintable() for line in text.splitlines())
    assert "py: \\x1b[2J" in text
    assert "Differs" in text
    assert "py: " not in page([pool(readyReplicas=3)], starts())

"""What a pool's status says, and when it is written."""

from typing import Any

import pytest

from sandbox_common.reasons import POOL_MEANINGS, PoolReason, Reason
from sandbox_crds.models import SandboxPoolStatus
from sandbox_operator.pools.free_pods import VOLUME_IS_MADE, sort_free_pods
from sandbox_operator.pools.refill_history import RefillHistory
from sandbox_operator.pools.status import is_urgent, next_status
from sandbox_operator.reporting.conditions import patch
from sandbox_operator.reporting.refusals import Refusal
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.pools.samples import OLD_TEMPLATE, TEMPLATE, failing, free, pool, ready, unbound, waiting
from unit.sandbox_operator.samples import KEYS, NOW, SOON, class_


def status(
    pods: list[Pod],
    wanted: int,
    *,
    missing: bool = False,
    refusal: Refusal | None = None,
    old: dict[str, Any] | None = None,
    claimed: int = 0,
    **spec: Any,
) -> SandboxPoolStatus:
    free_pods = sort_free_pods(pods, TEMPLATE, KEYS, NOW, lambda pod: "is cordoned" if pod.node == "node-2" else "")
    history = RefillHistory().observed(TEMPLATE, free_pods, claimed, NOW)
    if refusal:
        history = history.answered(refusal, NOW)
    of_pool = pool(replicas=wanted, status=old, **spec)
    return next_status(of_pool, None if missing else class_(), wanted, free_pods, history, claimed, SOON)


EARLIER = NOW - VOLUME_IS_MADE
REFUSED = Refusal(Reason.POD_REFUSED, 'pods "a" is forbidden')
OVER = Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: few")
ENDS = Refusal(Reason.PENDING, "the namespace is being terminated")

CASES: dict[str, tuple[SandboxPoolStatus, PoolReason, str]] = {
    "filled": (status([ready("a")], 1), PoolReason.FILLED, "1 of 1 free pods are ready."),
    "wanted by nobody": (status([], 0), PoolReason.FILLED, "No free pods are wanted."),
    "filled, whatever else": (status([ready("a"), failing("b")], 1, refusal=OVER), PoolReason.FILLED, ""),
    "being filled": (status([ready("a"), free("b")], 2), PoolReason.FILLING, "1 of 2 free pods are ready."),
    "being rolled": (status([ready("a", template=OLD_TEMPLATE)], 1), PoolReason.FILLING, "earlier template"),
    "leaving": (
        status([ready("a", node="node-2")], 1),
        PoolReason.FILLING,
        "Node node-2 is cordoned: free pods on such nodes are being replaced.",
    ),
    "failing": (status([failing("a"), free("b")], 2), PoolReason.PODS_FAILING, "ImagePullBackOff: the image"),
    "no room": (status([waiting("a"), ready("b")], 2), PoolReason.UNSCHEDULABLE, "0/1 nodes: no room"),
    "refused": (status([], 2, refusal=REFUSED), PoolReason.POD_REFUSED, 'pods "a" is forbidden'),
    "in the root group": (
        status([], 1, runAsGroup=0),
        PoolReason.POD_REFUSED,
        "runAsGroup 0, the root group, needs pod.allowRootGroup of SandboxClass default.",
    ),
    "namespace ends": (status([ready("a")], 2, refusal=ENDS), PoolReason.FILLING, "is being terminated"),
    "over quota": (status([ready("a")], 2, refusal=OVER), PoolReason.QUOTA_EXCEEDED, "exceeded quota: few"),
    "no class": (status([ready("a")], 1, missing=True), PoolReason.SANDBOX_CLASS_NOT_FOUND, "SandboxClass default"),
    "no volume": (status([unbound("a", EARLIER), ready("b")], 2), PoolReason.VOLUME_NOT_BOUND, "unbound immediate"),
    "no volume, since there is no quota": (
        status([unbound("a", EARLIER)], 2, refusal=OVER),
        PoolReason.QUOTA_EXCEEDED,
        "exceeded quota: few",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_condition_names_reason_evidence_and_remedy(name: str) -> None:
    told, reason, words = CASES[name]
    [condition] = told.conditions
    assert condition.reason == reason
    assert condition.status == ("True" if reason is PoolReason.FILLED else "False")
    assert words in condition.message
    remedy = POOL_MEANINGS[reason].remedy
    assert (f"Remedy: {remedy}" in condition.message) is bool(remedy)


def test_every_reason_can_be_told() -> None:
    assert {reason for _, reason, _ in CASES.values()} == set(PoolReason) == set(POOL_MEANINGS)


def test_counts() -> None:
    pods = [ready("a"), ready("b", template=OLD_TEMPLATE), free("c"), waiting("d"), failing("e")]
    told = status([*pods, ready("f", deletion_requested=NOW)], 7, claimed=3)
    assert told.replicas == 5
    assert (told.ready_replicas, told.starting_replicas, told.failing_replicas) == (2, 2, 1)
    assert (told.desired_replicas, told.claimed_pods, told.observed_generation) == (7, 3, 1)
    assert told.selector == "sandbox.openhands.dev/pool=warm,sandbox.openhands.dev/sandbox="


def test_nothing_is_written_when_nothing_changed() -> None:
    told = status([ready("a")], 1)
    again = status([ready("a")], 1, old=told.model_dump(by_alias=True))
    assert patch(told, again) == {}


def test_a_condition_keeps_its_time_and_those_of_others_stay() -> None:
    foreign = {
        "type": "Audited",
        "status": "True",
        "reason": "Yes",
        "message": "",
        "lastTransitionTime": "2026-11-01T00:00:00Z",
    }
    told = status([ready("a")], 1).model_dump(by_alias=True)
    told["conditions"][0]["lastTransitionTime"] = "2026-11-02T00:00:00Z"
    told["conditions"].append(foreign)
    again = status([ready("a"), ready("b")], 2, old=told)
    assert [condition.type for condition in again.conditions] == ["Ready", "Audited"]
    assert again.conditions[0].last_transition_time == "2026-11-02T00:00:00Z"
    assert set(patch(SandboxPoolStatus.model_validate(told), again)) >= {"replicas", "readyReplicas"}


FILLED, FILLING = status([ready("a")], 1), status([], 1)
FAILING = status([failing("a")], 1)


@pytest.mark.parametrize(
    ("before", "after", "urgent"),
    [
        (SandboxPoolStatus(), FILLING, True),
        (FILLING, FILLED, True),
        (FILLED, FILLING, False),
        (FILLED, FAILING, True),
        (FAILING, FAILING, False),
        (FAILING, FILLING, False),
        (FILLED, status([ready("a")], 1, claimed=1), False),
        (FILLED, FILLED.model_copy(update={"observed_generation": 2}), True),
    ],
)
def test_what_is_urgent(before: SandboxPoolStatus, after: SandboxPoolStatus, urgent: bool) -> None:
    assert is_urgent(before, after) is urgent

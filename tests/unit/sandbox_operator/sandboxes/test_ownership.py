"""Which pod is the sandbox's, and which are too many."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_crds.models import Sandbox, SandboxStatus
from sandbox_operator.sandboxes.ownership import choose
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.samples import KEY_ID, KEYS, LATER, NOW, SOON, pod, sandbox

WARM_KEY = KEYS.key_id("pool-a")


def claimed(name: str = "pool-a", **fields: Any) -> Pod:
    """A pod of the pool `pool`, of its own key, that the sandbox has claimed."""
    made = pod(name=name, uid=name, sandbox="one", pool="pool", claimed=SOON, key_id=KEYS.key_id(name))
    return replace(made, **fields)


def one(key_id: str = "", pod_uid: str = "", **spec: Any) -> Sandbox:
    return sandbox(status=SandboxStatus.model_validate({"key_id": key_id, "pod_uid": pod_uid}), **spec)


COLD = pod(uid="cold")
FIRST, SECOND = claimed("pool-a"), claimed("pool-b", claimed=LATER)
RESUMED = pod(uid="resumed", key_id=WARM_KEY)
GOING = {"deletion_requested": LATER}

BRINGS = claimed("pool-a", volume_claim="pool-a")

CASES: dict[str, tuple[Sandbox, Sequence[Pod], Pod | None, Sequence[Pod], *tuple[str, ...]]] = {
    "none": (one(), [], None, []),
    "cold": (one(), [COLD], COLD, []),
    "claimed": (one(), [FIRST], FIRST, []),
    "claimed, and told": (one(WARM_KEY, "pool-a"), [FIRST], FIRST, []),
    # Nothing is settled: another operator may decide otherwise.
    "cold and claimed": (one(), [FIRST, COLD], COLD, []),
    "claimed twice": (one(), [SECOND, FIRST], FIRST, []),
    "claimed twice, the first is ending": (one(), [SECOND, replace(FIRST, **GOING)], SECOND, []),
    # The status settles it.
    "cold and claimed, told of the cold one": (one(KEY_ID, "cold"), [FIRST, COLD], COLD, [FIRST]),
    "cold and claimed, told of the claimed one": (one(WARM_KEY, "pool-a"), [FIRST, COLD], FIRST, [COLD]),
    "claimed twice, told of the second": (one(KEYS.key_id("pool-b"), "pool-b"), [FIRST, SECOND], SECOND, [FIRST]),
    "what ends anyway is left alone": (one(KEY_ID, "cold"), [replace(FIRST, **GOING), COLD], COLD, []),
    "told of one that ends": (one(KEY_ID, "cold"), [replace(COLD, **GOING), FIRST], replace(COLD, **GOING), [FIRST]),
    # The key was told, or will be.
    "key told before the claim was": (one(warmStart="Never"), [FIRST], None, [FIRST]),
    "key told before the claim was, cold": (one(warmStart="Never"), [FIRST, COLD], COLD, [FIRST]),
    "claimed and told, then never again": (one(WARM_KEY, "pool-a", warmStart="Never"), [FIRST], FIRST, []),
    "claimed with another key than was told": (one(KEY_ID), [FIRST], None, [FIRST]),
    "claimed with the key that was told": (one(WARM_KEY), [FIRST], FIRST, []),
    "resumed": (one(WARM_KEY), [RESUMED], RESUMED, []),
    "cold with its own key though another was told": (one(WARM_KEY), [COLD], None, [COLD]),
    "cold with another key though its own was told": (one(KEY_ID), [RESUMED], None, [RESUMED]),
    "claimed with a key that nobody can derive": (
        one(),
        [claimed(key_id="v9-" + "a" * 26)],
        None,
        [claimed(key_id="v9-" + "a" * 26)],
    ),
    "claimed, with a volume": (one(), [BRINGS], BRINGS, []),
    "claimed, with a volume that cannot be taken": (one(), [BRINGS], None, [BRINGS], "pool-a"),
    "claimed, with a volume, and it ends": (one(), [replace(BRINGS, **GOING)], None, []),
    "so it ends": (one(), [replace(BRINGS, **GOING)], None, [], "pool-a"),
    "so a cold one follows": (one(), [BRINGS, COLD], COLD, [BRINGS], "pool-a"),
    "so another one is claimed": (one(), [BRINGS, SECOND], SECOND, [BRINGS], "pool-a"),
    "the reported key cannot be derived, and the pod has a volume": (one("v9-" + "a" * 26), [BRINGS], None, [BRINGS]),
    "a key was told that nobody can derive": (one("v9-" + "a" * 26), [COLD], COLD, []),
    "somebody else's pod": (one(), [replace(COLD, name="stranger")], None, []),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    sandbox_, pods, chosen, surplus, *unusable = CASES[name]
    assert choose(sandbox_, pods, KEYS, *unusable) == (chosen, tuple(surplus))


@st.composite
def _pods(draw: st.DrawFn) -> list[Pod]:
    candidates = [COLD, FIRST, SECOND, replace(RESUMED, uid="cold-2"), claimed("pool-c", claimed=NOW)]
    chosen = draw(st.lists(st.sampled_from(candidates), unique_by=lambda it: it.name))
    ending = draw(st.sets(st.sampled_from([it.uid for it in candidates])))
    return [replace(it, deletion_requested=NOW + timedelta(1)) if it.uid in ending else it for it in chosen]


@given(
    pods=_pods(),
    key_id=st.sampled_from(["", KEY_ID, WARM_KEY]),
    named=st.sampled_from(["", "cold", "pool-a", "gone"]),
    warm_start=st.sampled_from(["Allowed", "Never"]),
    order=st.randoms(use_true_random=False),
)
def test_all_operators_agree(pods: list[Pod], key_id: str, named: str, warm_start: str, order: Any) -> None:
    it = one(key_id, named, warmStart=warm_start)
    chosen, surplus = choose(it, pods, KEYS)
    assert chosen not in surplus
    assert not any(pod.deletion_requested for pod in surplus)
    # Whom the status names is never given up.
    assert all(pod.uid != named for pod in surplus)
    shuffled = list(pods)
    order.shuffle(shuffled)
    again, others = choose(it, shuffled, KEYS)
    assert (again, set(others)) == (chosen, set(surplus))
    # What follows changes nothing: the surplus goes, then the status names the one that was chosen.
    rest = [pod for pod in pods if pod not in surplus]
    assert choose(it, rest, KEYS) == (chosen, ())

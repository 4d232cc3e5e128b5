"""What a claim asks of the API server."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from sandbox_common.kube import ApiError
from sandbox_common.times import rfc3339
from sandbox_crds.models import SandboxStatus
from sandbox_operator.builders.eviction import SAFE_TO_EVICT
from sandbox_operator.builders.pod import build_pod
from sandbox_operator.builders.volume import build_volume_claim
from sandbox_operator.pools.builders import build_warm_pod, build_warm_volume_claim
from sandbox_operator.pools.claim_patch import brings_volume, claim_patch, is_first_start, return_patch, volume_patch
from sandbox_operator.watching.pods import controller_uid, decode
from unit.sandbox_operator.faults import patched
from unit.sandbox_operator.pools.samples import free, pool
from unit.sandbox_operator.samples import KEY_ID, KEYS, LATER, NOW, UID, VOLUME, class_, pod, sandbox

LABEL = "/metadata/labels/sandbox.openhands.dev~1sandbox"


FREE = pod(name="pool-a", owner_uid="of the pool", pool="pool")


def test_only_a_free_pod_that_lives_is_claimed() -> None:
    operations = claim_patch(FREE, sandbox(), class_(), LATER)
    tests = {operation["path"]: operation["value"] for operation in operations if operation["op"] == "test"}
    assert tests == {"/metadata/uid": FREE.uid, LABEL: "", "/metadata/deletionTimestamp": None}
    assert [operation["op"] for operation in operations[:3]] == ["test"] * 3


@pytest.mark.parametrize("restarted_at", ["", rfc3339(LATER)])
def test_what_is_written_is_read_back(restarted_at: str) -> None:
    written = {
        operation["path"]: operation["value"]
        for operation in claim_patch(FREE, sandbox(restartedAt=restarted_at), class_(), LATER)
        if operation["op"] != "test"
    }
    label, owners = written.pop(LABEL), written.pop("/metadata/ownerReferences")
    annotations = {
        path.removeprefix("/metadata/annotations/").replace("~1", "/"): value for path, value in written.items()
    }
    seen = decode(
        {
            "metadata": {
                "name": FREE.name,
                "uid": FREE.uid,
                "resourceVersion": "1",
                "creationTimestamp": rfc3339(NOW),
                "labels": {"sandbox.openhands.dev/sandbox": label, "sandbox.openhands.dev/pool": "pool"},
                "annotations": annotations,
                "ownerReferences": owners,
            },
            "spec": {"containers": []},
        }
    )
    assert (seen.sandbox, seen.owner_uid, seen.claimed, seen.restarted_at) == ("one", UID, LATER, restarted_at)
    assert not seen.is_free


def test_a_volume_goes_from_its_pod_to_the_sandbox_and_back() -> None:
    warm = free("a", volume_claim="warm-a")
    claim = build_warm_volume_claim(pool(), class_(workspace={"persistent": True}), warm)
    taken = patched(claim, volume_patch(warm, sandbox()))
    own = build_volume_claim(sandbox(), class_(workspace={"persistent": True}))
    assert taken == own | {"metadata": {**own["metadata"], "name": "warm-a"}}
    assert controller_uid(patched(taken, return_patch(warm, sandbox()))) == warm.uid


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": [{"uid": "another"}]},
        {"deletionTimestamp": rfc3339(NOW)},
    ],
)
def test_only_a_volume_that_is_its_pod_s_and_stays_is_taken(metadata: dict[str, Any]) -> None:
    warm = free("a", volume_claim="warm-a")
    claim = build_warm_volume_claim(pool(), class_(), warm)
    with pytest.raises(ApiError, match="the test failed"):
        patched(claim | {"metadata": claim["metadata"] | metadata}, volume_patch(warm, sandbox()))


def test_only_a_volume_of_the_sandbox_is_given_back() -> None:
    warm = free("a", volume_claim="warm-a")
    claim = build_warm_volume_claim(pool(), class_(), warm)
    with pytest.raises(ApiError, match="the test failed"):
        patched(claim, return_patch(warm, sandbox()))


@pytest.mark.parametrize(
    ("claimed", "claim", "told", "brings"),
    [
        (NOW, "pool-a", "", True),
        (NOW, "pool-a", "pool-a", False),
        (NOW, "pool-a", "another", True),
        (NOW, "", "", False),
        (None, "one-abcdefgh", "", False),
    ],
)
def test_which_pods_bring_a_volume(claimed: datetime | None, claim: str, told: str, brings: bool) -> None:
    of_pod = replace(FREE, claimed=claimed, volume_claim=claim)
    status = SandboxStatus().model_copy(update={"volume_claim": told})
    assert brings_volume(sandbox(status=status), of_pod) is brings


@pytest.mark.parametrize(
    ("status", "first"),
    [
        ({}, True),
        ({"observed_generation": 1}, True),
        ({"key_id": KEY_ID}, False),
        ({"pod_uid": "gone"}, False),
        ({"volume_claim": VOLUME}, False),
    ],
)
def test_only_who_has_not_been_told_a_key_may_get_one_of_a_pool(status: dict[str, object], first: bool) -> None:
    assert is_first_start(sandbox(status=SandboxStatus().model_copy(update=status))) == first


def test_a_pod_is_meant_by_its_uid() -> None:
    other = replace(FREE, uid="another")
    assert claim_patch(FREE, sandbox(), class_(), NOW) != claim_patch(other, sandbox(), class_(), NOW)


@pytest.mark.parametrize(("own", "written"), [({}, ["false"]), ({SAFE_TO_EVICT: "true"}, [])])
def test_an_autoscaler_may_move_it_no_more_unless_the_class_says_otherwise(
    own: dict[str, str], written: list[str]
) -> None:
    path = "/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict"
    of_class = class_(pod={"annotations": own})
    found = [operation for operation in claim_patch(FREE, sandbox(), of_class, NOW) if operation["path"] == path]
    assert [operation["value"] for operation in found] == written
    cold = build_pod(sandbox(), of_class)["metadata"]["annotations"]
    warm = build_warm_pod(pool(), of_class, KEYS, "warm-a")["metadata"]["annotations"]
    assert (cold[SAFE_TO_EVICT], warm[SAFE_TO_EVICT]) == (own.get(SAFE_TO_EVICT, "false"), "true")

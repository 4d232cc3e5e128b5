"""Passes over a sandbox that may have a warm pod with a volume, when the API server fails and caches lag."""

from datetime import timedelta
from typing import Any

import pytest

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.api import API_VERSION
from sandbox_crds.names import pod_name
from sandbox_operator.watching.pods import controller_uid, decode
from unit.sandbox_operator.samples import NOW, UID
from unit.sandbox_operator.scene import WarmScene

OWN = pod_name("one", UID)
CLAIM, TAKE = "claim pods", "claim persistentvolumeclaims"
HIT = [CLAIM, TAKE, "patch sandboxes"]
COLD = ["create secrets", "create persistentvolumeclaims", "create pods"]
CONFLICT = ApiError(409, "Conflict", "the object has been modified")


class VolumeScene(WarmScene):
    """The same with a class whose sandboxes have volumes."""

    def __init__(self) -> None:
        super().__init__()
        self.set_class(2, workspace={"persistent": True})

    def volume(self, name: str = "pool-a") -> dict[str, Any]:
        """The volume claim of this name."""
        return self.server.objects["persistentvolumeclaims", name]

    def start_anew(self, *, is_late: bool = False) -> None:
        """Another operator goes on; its cache shows the pod as it is, or as it was before the claim."""
        self.forget()
        if not is_late:
            self.see("pool-a")

    async def die_after_claim(self) -> None:
        """Claim `pool-a`, and nothing more."""
        await self.stock_up("pool-a")
        self.add()
        self.server.fail[TAKE] = [TimeoutError()]
        with pytest.raises(TimeoutError):
            await self.step()
        self.start_anew()

    async def take_without_status(self) -> None:
        """Claim `pool-a` and take over its volume. The status is refused."""
        await self.stock_up("pool-a")
        self.add()
        self.server.fail["patch sandboxes"] = [CONFLICT]
        with pytest.raises(ApiError):
            await self.step()


@pytest.fixture
def scene() -> VolumeScene:
    return VolumeScene()


async def test_a_sandbox_that_has_a_volume_claims_no_pod_with_another_one(scene: VolumeScene) -> None:
    """The operator died during its first start, and the next one suspended it before it knew the key."""
    await scene.stock_up("pool-a")
    scene.add(launch="Cold", volumeClaim=OWN)
    assert await scene.step() == COLD


async def test_a_hit_takes_the_volume_with_one_write_more(scene: VolumeScene) -> None:
    await scene.stock_up("pool-a", "pool-b")
    assert controller_uid(scene.volume()) == "uid-of-pool-a"
    scene.add()
    assert await scene.step() == HIT
    told = scene.status
    assert (scene.told, told["launch"], told["volumeClaim"], told["workspaceKept"]) == (
        Reason.READY,
        "Warm",
        "pool-a",
        True,
    )
    metadata = scene.volume()["metadata"]
    assert metadata["ownerReferences"] == [
        {"apiVersion": API_VERSION, "kind": "Sandbox", "name": "one", "uid": UID, "controller": True}
    ]
    assert metadata["labels"] == {
        "sandbox.openhands.dev/sandbox": "one",
        "app.kubernetes.io/managed-by": "openhands-sandbox",
    }
    assert controller_uid(scene.volume("pool-b")) == "uid-of-pool-b"
    scene.see("pool-a")
    assert await scene.step() == []
    # Nor does another operator write anything.
    scene.start_anew()
    assert await scene.step() == []


async def test_after_a_suspension_the_sandbox_has_the_same_volume(scene: VolumeScene) -> None:
    await scene.stock_up("pool-a")
    scene.add()
    await scene.step()
    scene.edit(suspend=True)
    del scene.server.objects["pods", "pool-a"]
    scene.see("pool-a")
    scene.start_anew()
    await scene.step()
    assert scene.told == Reason.SUSPENDED
    scene.edit(suspend=False)
    await scene.step()
    pod = decode(scene.server.objects["pods", OWN])
    assert (pod.volume_claim, scene.status["volumeClaim"]) == ("pool-a", "pool-a")
    assert ("persistentvolumeclaims", OWN) not in scene.server.objects


async def test_events_about_a_volume_are_found_by_its_own_name(scene: VolumeScene) -> None:
    await scene.stock_up("pool-a")
    scene.add()
    await scene.step()
    del scene.server.objects["pods", "pool-a"]
    scene.see("pool-a")
    scene.start_anew()
    await scene.step()
    scene.show()
    scene.now += timedelta(minutes=1)
    scene.server.queries.clear()
    await scene.step()
    assert scene.server.queries == [{"fieldSelector": "regarding.name=pool-a"}]


async def test_the_next_operator_takes_the_volume_of_a_claimed_pod(scene: VolumeScene) -> None:
    await scene.die_after_claim()
    assert await scene.step() == [TAKE, "patch sandboxes"]
    assert scene.status["volumeClaim"] == "pool-a"
    assert controller_uid(scene.volume()) == UID


async def test_the_next_operator_reports_the_volume_that_was_taken(scene: VolumeScene) -> None:
    await scene.take_without_status()
    scene.start_anew()
    assert await scene.step() == [TAKE, "get persistentvolumeclaims", "patch sandboxes"]
    assert scene.status["volumeClaim"] == "pool-a"


async def test_a_volume_is_taken_before_a_suspension(scene: VolumeScene) -> None:
    await scene.die_after_claim()
    scene.edit(suspend=True)
    assert (await scene.step())[:2] == [TAKE, "patch sandboxes"]
    assert (scene.told, scene.status["volumeClaim"]) == (Reason.SUSPENDING, "pool-a")


@pytest.mark.parametrize("fate", ["gone", "ending", "another's", "refused"])
async def test_without_its_volume_a_claimed_pod_is_lost(scene: VolumeScene, fate: str) -> None:
    await scene.die_after_claim()
    metadata = scene.volume()["metadata"]
    words = "PersistentVolumeClaim pool-a of the claimed pod is gone."
    match fate:
        case "gone":
            del scene.server.objects["persistentvolumeclaims", "pool-a"]
        case "ending":
            metadata["deletionTimestamp"] = "2026-11-23T12:00:00Z"
        case "another's":
            metadata["ownerReferences"][0] = {"uid": "another", "controller": True}
            words = "PersistentVolumeClaim pool-a has another owner."
        case _:
            scene.server.fail[TAKE] = [ApiError(403, "Forbidden", "denied by policy")]
            words = "denied by policy"
    seen = await scene.step()
    assert seen[:5] == [TAKE, "get persistentvolumeclaims", *COLD]
    # Its volume stays with the pod.
    assert seen[-1] == "delete pods"
    assert "create events" not in seen
    assert scene.status == {}
    own = decode(scene.server.objects["pods", OWN])
    assert (own.volume_claim, controller_uid(scene.volume(OWN))) == (OWN, UID)
    if fate != "gone":
        assert controller_uid(scene.volume()) != UID
    del scene.server.objects["pods", "pool-a"]
    scene.see("pool-a")
    scene.show()
    scene.now = own.created.replace(second=30)
    await scene.step()
    assert scene.status["poolMiss"] == f"VolumeFailed: {words}"
    assert scene.status["volumeClaim"] == OWN


async def test_a_failure_that_may_pass_is_tried_again(scene: VolumeScene) -> None:
    await scene.die_after_claim()
    scene.server.fail[TAKE] = [ApiError(429, "TooManyRequests", "")]
    with pytest.raises(ApiError):
        await scene.step()
    assert await scene.step() == [TAKE, "patch sandboxes"]


async def test_a_pod_that_the_sandbox_does_not_keep_gets_its_volume_back(scene: VolumeScene) -> None:
    """A client has got the sandbox's own key between the claim and the status."""
    await scene.take_without_status()
    assert controller_uid(scene.volume()) == UID
    scene.edit(warmStart="Never")
    scene.see("pool-a")
    assert await scene.step() == [*COLD, "get sandboxes", TAKE, "delete pods"]
    # The garbage collector deletes it with the pod.
    assert controller_uid(scene.volume()) == "uid-of-pool-a"
    assert controller_uid(scene.volume(OWN)) == UID


async def test_a_volume_that_was_not_taken_is_not_given_back(scene: VolumeScene) -> None:
    await scene.die_after_claim()
    scene.edit(warmStart="Never")
    assert await scene.step() == [*COLD, "get sandboxes", TAKE, "delete pods"]
    assert controller_uid(scene.volume()) == "uid-of-pool-a"


async def test_a_pod_that_others_delete_before_its_volume_is_taken_is_no_loss(scene: VolumeScene) -> None:
    await scene.die_after_claim()
    scene.server.objects["pods", "pool-a"]["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:10Z"
    scene.see("pool-a")
    assert await scene.step() == [*COLD]
    assert controller_uid(scene.volume()) == "uid-of-pool-a"


async def test_a_sandbox_whose_claim_could_not_be_reported_starts_cold(scene: VolumeScene) -> None:
    await scene.stock_up("pool-a")
    scene.definitions.missing = ("Sandbox.status.volumeClaim",)
    scene.add()
    assert await scene.step() == COLD
    assert [pod.name for pod in scene.pod_index.free("pool")] == ["pool-a"]


async def test_without_volumes_the_definition_does_not_matter(scene: VolumeScene) -> None:
    scene.set_class(3)
    await scene.stock_up("pool-a")
    scene.definitions.missing = ("Sandbox.status.volumeClaim",)
    scene.add()
    assert await scene.step() == [CLAIM, "patch sandboxes"]


async def test_a_new_leader_with_a_late_watch_makes_no_second_pod_on_a_volume(scene: VolumeScene) -> None:
    await scene.stock_up("pool-a")
    scene.add()
    await scene.step()
    # It ends, and its node takes its time.
    ending = {"deletionTimestamp": rfc3339(NOW), "deletionGracePeriodSeconds": 600}
    scene.server.objects["pods", "pool-a"]["metadata"] |= ending
    scene.start_anew(is_late=True)
    await scene.step()
    await scene.step()
    assert [name for plural, name in scene.server.objects if plural == "pods"] == ["pool-a"]
    assert scene.told == Reason.POD_TERMINATING

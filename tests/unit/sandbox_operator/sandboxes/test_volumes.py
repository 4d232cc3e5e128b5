"""What is said about the claim of a workspace."""

from datetime import timedelta
from typing import Any

import pytest

from sandbox_common import times
from sandbox_common.losses import LossReason
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import Loss
from sandbox_operator.builders.volume import ADOPTED_ANNOTATION
from sandbox_operator.reporting.losses import lost_volume, with_loss
from sandbox_operator.sandboxes.plan import plan
from sandbox_operator.sandboxes.volumes import growth, made_at, volume_events
from sandbox_operator.sandboxes.world import Made, World
from unit.sandbox_operator.samples import KEY_ID, KEYS, LATER, NOW, POD_UID, class_, condition, ready, sandbox, status

OLD = sandbox(status=status(Reason.READY))
ANEW = LATER + timedelta(minutes=1)
SEEN = ANEW + timedelta(minutes=1)
KEPT = class_(workspace={"persistent": True, "size": "5Gi"})


def claim(size: str, made: str) -> dict[str, Any]:
    metadata = {"name": "one-x", "uid": "claim-1", "creationTimestamp": made}
    return {"metadata": metadata, "spec": {"resources": {"requests": {"storage": size}}}}


def reasons(size: str, made: str, refusal: str = "") -> list[str]:
    return [event["reason"] for event in volume_events(OLD, KEPT, claim(size, made), SEEN, refusal)]


def test_a_new_claim_of_an_old_sandbox_is_an_empty_workspace() -> None:
    assert lost_volume(OLD, NOW, SEEN) is None
    assert lost_volume(sandbox(), ANEW, SEEN) is None
    loss = lost_volume(OLD, ANEW, SEEN)
    assert loss
    assert (loss.reason, loss.workspace, loss.time) == (LossReason.VOLUME_GONE, "Lost", rfc3339(SEEN))
    told = OLD.model_copy(update={"status": with_loss(OLD.status, loss)})
    assert told.status.lost_pods == 0
    assert lost_volume(told, ANEW, SEEN) is None


def test_it_is_told_once_though_the_clock_of_the_api_server_is_ahead() -> None:
    made = SEEN + timedelta(seconds=30)
    told = OLD.model_copy(update={"status": with_loss(OLD.status, lost_volume(OLD, made, SEEN))})
    assert told.status.last_loss
    assert lost_volume(told, made, SEEN + timedelta(seconds=1)) is None


def test_a_first_claim_of_the_second_after_the_first_readiness_is_not_a_new_one() -> None:
    ready_at = times.parse(OLD.status.first_ready_time)
    assert lost_volume(OLD, ready_at + timedelta(seconds=1), SEEN) is None
    assert lost_volume(OLD, ready_at + timedelta(seconds=2), SEEN)


@pytest.mark.parametrize("ahead", [0, 9])
def test_a_pod_that_was_lost_just_before_hides_no_empty_workspace(ahead: int) -> None:
    """The operator's clock may be ahead of the API server's."""
    lost_at = rfc3339(ANEW + timedelta(seconds=ahead))
    lost = Loss(time=lost_at, reason=LossReason.NODE_LOST, workspace="Kept", podUID=POD_UID)
    told = OLD.model_copy(update={"status": with_loss(OLD.status, lost)})
    loss = lost_volume(told, ANEW, ANEW)
    assert loss
    told = told.model_copy(update={"status": with_loss(told.status, loss)})
    assert lost_volume(told, ANEW, SEEN) is None


def test_a_pod_that_is_lost_later_does_not_bring_it_up_again() -> None:
    later = Loss(time=rfc3339(SEEN), reason=LossReason.NODE_LOST, workspace="Kept", podUID=POD_UID)
    told = OLD.model_copy(update={"status": with_loss(OLD.status, later)})
    assert lost_volume(told, ANEW, SEEN) is None


def test_a_claim_that_was_restored_is_no_empty_workspace() -> None:
    restored = claim("5Gi", rfc3339(ANEW))
    assert made_at(restored) == ANEW
    assert list(volume_events(OLD, KEPT, restored, SEEN))
    restored["metadata"]["annotations"] = {ADOPTED_ANNOTATION: "true"}
    assert made_at(restored) is None
    assert list(volume_events(OLD, KEPT, restored, SEEN)) == []


def test_it_is_written_with_the_next_status() -> None:
    made = plan(World(OLD, KEPT, ready(), SEEN, Made(KEY_ID, POD_UID, ANEW)), KEYS)
    assert made.status
    assert made.status["lastLoss"]["reason"] == "VolumeGone"


def test_a_pod_of_a_node_whose_clock_is_late_is_not_ready_before_it_was_made() -> None:
    seen = ready(created=LATER, ready=condition(True, since=NOW))
    made = plan(World(sandbox(), class_(), seen, LATER, Made(KEY_ID, POD_UID)), KEYS)
    assert made.status
    assert (made.status["readyTime"], made.status["firstReadyTime"]) == (rfc3339(LATER), rfc3339(LATER))


def test_events_about_a_claim() -> None:
    assert reasons("5Gi", rfc3339(NOW)) == []
    assert reasons("6Gi", rfc3339(NOW)) == []
    assert reasons("unreadable", rfc3339(NOW)) == []
    assert reasons("1Gi", rfc3339(NOW)) == ["VolumeGrows"]
    assert reasons("1Gi", rfc3339(NOW), "no") == ["VolumeSizeKept"]
    assert reasons("5000M", rfc3339(ANEW), "no") == ["WorkspaceLost", "VolumeSizeKept"]
    [kept] = volume_events(OLD, KEPT, claim("1Gi", rfc3339(NOW)), SEEN, "only dynamically provisioned ones. " * 100)
    assert "of 1Gi, although the class now asks for 5Gi. The API server says: " in kept["note"]
    assert "allowVolumeExpansion" in kept["note"]
    assert len(kept["note"]) < 1024


def test_a_claim_grows_with_its_class_and_never_shrinks() -> None:
    assert growth(KEPT, claim("1Gi", rfc3339(NOW))) == "5Gi"
    assert growth(KEPT, claim("5120Mi", rfc3339(NOW))) == ""
    assert growth(KEPT, claim("6Gi", rfc3339(NOW))) == ""
    assert growth(KEPT, claim("unreadable", rfc3339(NOW))) == ""

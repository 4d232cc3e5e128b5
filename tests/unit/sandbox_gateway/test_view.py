"""Every reason, its grace period, suspension and the gateway's own probe, as clients see them."""

from datetime import timedelta

import pytest

from sandbox_crds.reasons import MEANINGS, SUSPENSIONS, Reason
from sandbox_gateway.view import View, view
from unit.sandbox_gateway.support import NOW, sandbox, status

STARTING = ("starting", "pending")
FAILED = ("error", "failed")
READY = ("running", "ready")
PAUSED = ("paused", "not found")

EXPECTED = {
    Reason.READY: READY,
    Reason.PENDING: STARTING,
    Reason.QUEUED: STARTING,
    Reason.LIMIT_REACHED: FAILED,
    Reason.UNSCHEDULABLE: STARTING,
    Reason.STARTING: STARTING,
    Reason.IMAGE_PULL_BACK_OFF: STARTING,
    Reason.INVALID_IMAGE_NAME: FAILED,
    Reason.CREATE_CONTAINER_ERROR: STARTING,
    Reason.CONTAINER_RESTARTING: STARTING,
    Reason.CRASH_LOOP_BACK_OFF: FAILED,
    Reason.OOM_KILLED: FAILED,
    Reason.NOT_RESPONDING: STARTING,
    Reason.POD_FAILED: STARTING,
    Reason.POD_TERMINATING: STARTING,
    Reason.POD_REFUSED: FAILED,
    Reason.QUOTA_EXCEEDED: STARTING,
    Reason.SANDBOX_CLASS_NOT_FOUND: FAILED,
    # Conditions of a pause that has been taken back.
    Reason.SUSPENDING: STARTING,
    Reason.SUSPENDED: STARTING,
    Reason.IDLE: STARTING,
    Reason.START_TIMEOUT: STARTING,
    Reason.NODE_LOST: STARTING,
    Reason.VOLUME_NOT_BOUND: STARTING,
    Reason.EVICTED: STARTING,
}


def states(seen: View) -> tuple[str, str]:
    return seen.status, seen.pod_status


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_when_it_is_new(reason: Reason) -> None:
    seen = view(sandbox(status=status(reason, "why", restartCount=2)), NOW, reached=True)
    assert states(seen) == EXPECTED[reason]
    assert seen.restart_count == 2
    assert not seen.suspended
    if reason not in {Reason.SUSPENDING, *SUSPENSIONS.values()}:
        assert seen.explanation == f"{reason}: why"


@pytest.mark.parametrize("reason", [reason for reason in Reason if MEANINGS[reason].fatal_after])
def test_a_reason_with_grace_fails_exactly_when_it_ends(reason: Reason) -> None:
    grace = MEANINGS[reason].fatal_after
    assert grace is not None
    found = sandbox(status=status(reason, "why"))
    before = view(found, NOW + grace - timedelta(microseconds=1), reached=True)
    assert (states(before), before.changes_at) == (STARTING, NOW + grace)
    after = view(found, NOW + grace, reached=True)
    assert (states(after), after.changes_at) == (FAILED, None)
    assert after.explanation == f"{reason}: why"


@pytest.mark.parametrize("reason", [reason for reason in Reason if not MEANINGS[reason].fatal_after])
def test_a_reason_without_grace_never_changes_by_itself(reason: Reason) -> None:
    found = sandbox(status=status(reason))
    late = view(found, NOW + timedelta(days=365), reached=True)
    assert (states(late), late.changes_at) == (EXPECTED[reason], None)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("reached", [True, False])
def test_a_suspended_sandbox_is_paused_whatever_its_pod_does(reason: Reason, reached: bool) -> None:
    seen = view(sandbox(spec={"suspend": True}, status=status(reason)), NOW, reached=reached)
    assert states(seen) == PAUSED
    assert seen.suspended is (reason in SUSPENSIONS.values())
    assert seen.reason == (reason if reason in SUSPENSIONS.values() else Reason.SUSPENDING)
    assert not seen.unreached


@pytest.mark.parametrize("reason", Reason)
def test_ready_needs_the_gateways_own_probe(reason: Reason) -> None:
    seen = view(sandbox(status=status(reason)), NOW, reached=False)
    assert not seen.ready
    assert seen.unreached is (reason is Reason.READY)
    assert states(seen) == (STARTING if reason is Reason.READY else EXPECTED[reason])


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("suspend", [True, False])
def test_a_condition_from_before_the_last_change_of_spec_counts_no_more(reason: Reason, suspend: bool) -> None:
    found = sandbox(spec={"suspend": suspend}, status=status(reason, observedGeneration=0))
    seen = view(found, NOW + timedelta(days=1), reached=True)
    assert states(seen) == (PAUSED if suspend else STARTING)
    assert not seen.suspended


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("suspend", [True, False])
def test_what_is_normal_is_what_nobody_needs_to_act_on(reason: Reason, suspend: bool) -> None:
    seen = view(sandbox(spec={"suspend": suspend}, status=status(reason)), NOW, reached=True)
    if suspend:
        assert seen.normal is (reason is not Reason.START_TIMEOUT)
    else:
        usual = {Reason.READY, Reason.PENDING, Reason.STARTING, Reason.SUSPENDING, *SUSPENSIONS.values()}
        assert seen.normal is (reason in usual)


def test_without_a_status_it_is_pending() -> None:
    seen = view(sandbox(), NOW, reached=True)
    assert (states(seen), seen.reason) == (STARTING, Reason.PENDING)


def test_a_reason_of_a_newer_operator_is_pending_and_told_as_it_is() -> None:
    seen = view(sandbox(status=status("MoonPhase", "new moon")), NOW, reached=True)
    assert (states(seen), seen.explanation) == (STARTING, "MoonPhase: new moon")


def test_a_reason_that_the_message_begins_with_is_told_once() -> None:
    message = "ImagePullBackOff: the image x cannot be pulled"
    seen = view(sandbox(status=status(Reason.IMAGE_PULL_BACK_OFF, message)), NOW, reached=True)
    assert seen.explanation == message


def test_a_condition_without_a_message_is_explained_by_the_table() -> None:
    seen = view(sandbox(status=status(Reason.OOM_KILLED)), NOW, reached=True)
    assert seen.explanation == f"OOMKilled: {MEANINGS[Reason.OOM_KILLED].text}"

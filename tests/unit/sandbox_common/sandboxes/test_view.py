"""Every reason, what passes and what does not, suspension and the gateway's own probe, as clients see them."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox_common.reasons import MEANINGS, SUSPENSIONS, Reason
from sandbox_common.sandboxes.view import View, view
from sandbox_crds.models import Sandbox, SandboxClassSpec
from unit.sandbox_common.test_times import ABSURD
from unit.sandbox_gateway.support import NOW, sandbox, status

STARTING = ("starting", "pending")
FAILED = ("error", "failed")
READY = ("running", "ready")
PAUSED = ("paused", "not found")

PASSING = [reason for reason in Reason if MEANINGS[reason].passing]
CLASS = SandboxClassSpec()
LIMIT = timedelta(seconds=CLASS.pending_timeout_seconds)

EXPECTED = {
    Reason.READY: READY,
    Reason.PENDING: STARTING,
    Reason.QUEUED: STARTING,
    Reason.LIMIT_REACHED: FAILED,
    Reason.TERMINATING: FAILED,
    Reason.UNSCHEDULABLE: STARTING,
    Reason.STARTING: STARTING,
    Reason.IMAGE_PULL_BACK_OFF: STARTING,
    Reason.REGISTRY_UNAVAILABLE: STARTING,
    Reason.REGISTRY_RATE_LIMITED: STARTING,
    Reason.IMAGE_NOT_FOUND: FAILED,
    Reason.IMAGE_PULL_DENIED: FAILED,
    Reason.PULL_CREDENTIALS_REFUSED: FAILED,
    Reason.INVALID_IMAGE_NAME: FAILED,
    Reason.RUNTIME_HANDLER_NOT_FOUND: FAILED,
    Reason.COMMAND_CANNOT_RUN: FAILED,
    Reason.AGENT_SERVER_UNUSABLE: FAILED,
    Reason.IMAGE_VOLUMES_UNSUPPORTED: FAILED,
    Reason.IMAGE_USER_REFUSED: FAILED,
    Reason.STORAGE_CLASS_NOT_FOUND: FAILED,
    Reason.POD_NOT_READY: STARTING,
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


def seen_at(
    found: Sandbox, now: datetime, *, reached: bool = True, class_: SandboxClassSpec = CLASS, left: bool = False
) -> View:
    return view(found, now, reached=reached, class_=class_, left=left)


def states(seen: View) -> tuple[str, str]:
    return seen.status, seen.pod_status


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_when_it_is_new(reason: Reason) -> None:
    seen = seen_at(sandbox(status=status(reason, "why", restartCount=2)), NOW)
    assert states(seen) == EXPECTED[reason]
    assert seen.restart_count == 2
    assert not seen.suspended
    if reason not in {Reason.SUSPENDING, *SUSPENSIONS.values()}:
        assert seen.summary == f"{reason}: why"


def test_a_pull_is_told_as_it_is_at_this_moment() -> None:
    pull = {"image": "a:1", "node": "n1", "startTime": "2026-01-02T03:04:05Z", "expectedSeconds": 90}
    found = sandbox(status=status(Reason.STARTING, "words of another moment", pull=pull))
    what = "Node n1 has been pulling image a:1 since 2026-01-02T03:04:05Z."
    for after, prediction in (
        (30, "About 60 s are left."),
        (600, "It was expected to take about 90 s, and takes longer."),
    ):
        seen = seen_at(found, NOW + timedelta(seconds=after))
        assert states(seen) == STARTING
        assert seen.normal
        assert seen.message == f"{what} {prediction} Then the agent server boots."


def held_up(reason: Reason, *, since: datetime = NOW, **spec: Any) -> Sandbox:
    """A start that something holds up. It began at NOW; `since` is when it came to this trouble."""
    told = status(reason, f"{reason}: why", since=since, startingSince="2026-01-02T03:04:05Z")
    return sandbox(spec=spec, status=told)


@pytest.mark.parametrize("reason", PASSING)
@pytest.mark.parametrize("lately", [timedelta(), timedelta(seconds=200)])
def test_a_trouble_that_may_pass_is_failed_when_the_start_has_lasted_long_enough(
    reason: Reason, lately: timedelta
) -> None:
    found = held_up(reason, since=NOW + lately)
    before = seen_at(found, NOW + LIMIT - timedelta(microseconds=1))
    assert (states(before), before.changes_at) == (STARTING, NOW + LIMIT)
    assert before.summary == f"{reason}: why"
    after = seen_at(found, NOW + LIMIT)
    assert (states(after), after.changes_at) == (FAILED, None)
    assert after.summary == f"{reason}: Not ready after 285 s (pendingTimeoutSeconds): why"


def test_clients_that_wait_for_300_s_learn_the_cause() -> None:
    assert timedelta(seconds=270) <= LIMIT < timedelta(seconds=300)


@pytest.mark.parametrize(
    ("own", "of_class", "seconds"),
    [(None, 600, 600), (30, 600, 30), (900, 600, 900), (None, 0, None), (0, 600, None), (600, 0, 600)],
)
def test_the_sandbox_s_own_time_wins_over_its_class_s(own: int | None, of_class: int, seconds: int | None) -> None:
    found = held_up(Reason.UNSCHEDULABLE, pendingTimeoutSeconds=own)
    seen = seen_at(found, NOW, class_=SandboxClassSpec(pending_timeout_seconds=of_class))
    assert seen.changes_at == (None if seconds is None else NOW + timedelta(seconds=seconds))
    assert states(seen) == STARTING


@pytest.mark.parametrize(
    ("restarted_at", "begins"),
    [
        ("2026-01-02T03:14:05Z", NOW + timedelta(minutes=10)),
        ("2026-01-02T02:04:05Z", NOW),
        ("2026-99-99T99:99:99Z", NOW),
    ],
)
def test_a_restart_gives_the_whole_time_again(restarted_at: str, begins: datetime) -> None:
    found = held_up(Reason.QUOTA_EXCEEDED, restartedAt=restarted_at)
    assert states(seen_at(found, begins + LIMIT - timedelta(seconds=1))) == STARTING
    assert states(seen_at(found, begins + LIMIT)) == FAILED


@pytest.mark.parametrize("reason", PASSING)
def test_what_is_no_start_is_not_failed_for_its_length(reason: Reason) -> None:
    """A pod that has been ready and has a trouble since then: it may be at work."""
    late = seen_at(sandbox(status=status(reason)), NOW + timedelta(days=365))
    assert (states(late), late.changes_at) == (STARTING, None)


@pytest.mark.parametrize("reason", [reason for reason in Reason if not MEANINGS[reason].passing])
def test_what_is_final_or_as_usual_never_changes_by_itself(reason: Reason) -> None:
    late = seen_at(held_up(reason), NOW + timedelta(days=365))
    assert (states(late), late.changes_at) == (EXPECTED[reason], None)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("reached", [True, False])
def test_a_suspended_sandbox_is_paused_whatever_its_pod_does(reason: Reason, reached: bool) -> None:
    seen = seen_at(sandbox(spec={"suspend": True}, status=status(reason)), NOW, reached=reached)
    assert states(seen) == PAUSED
    assert seen.suspended is (reason in SUSPENSIONS.values())
    assert seen.reason == (reason if reason in SUSPENSIONS.values() else Reason.SUSPENDING)
    assert not seen.unreached


@pytest.mark.parametrize("reason", Reason)
def test_ready_needs_the_gateways_own_probe(reason: Reason) -> None:
    seen = seen_at(sandbox(status=status(reason)), NOW, reached=False)
    assert not seen.ready
    assert seen.unreached is (reason is Reason.READY)
    assert states(seen) == (STARTING if reason is Reason.READY else EXPECTED[reason])


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("suspend", [True, False])
@pytest.mark.parametrize("left", [True, False])
def test_of_conditions_from_before_the_last_change_of_spec_only_those_of_a_pod_that_serves_count(
    reason: Reason, suspend: bool, left: bool
) -> None:
    found = sandbox(spec={"suspend": suspend}, status=status(reason, observedGeneration=0))
    seen = seen_at(found, NOW + timedelta(days=1), left=left)
    counts = reason is Reason.READY and not left
    assert states(seen) == (PAUSED if suspend else READY if counts else STARTING)
    assert not seen.suspended


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("suspend", [True, False])
def test_what_is_normal_is_what_nobody_needs_to_act_on(reason: Reason, suspend: bool) -> None:
    seen = seen_at(sandbox(spec={"suspend": suspend}, status=status(reason)), NOW)
    if suspend:
        assert seen.normal is (reason is not Reason.START_TIMEOUT)
    else:
        usual = {Reason.READY, Reason.PENDING, Reason.STARTING, Reason.SUSPENDING, *SUSPENSIONS.values()}
        assert seen.normal is (reason in usual)


def test_without_a_status_it_is_pending() -> None:
    seen = seen_at(sandbox(), NOW)
    assert (states(seen), seen.reason) == (STARTING, Reason.PENDING)


def test_a_reason_of_a_newer_operator_is_pending_and_told_as_it_is() -> None:
    seen = seen_at(sandbox(status=status("MoonPhase", "new moon")), NOW)
    assert (states(seen), seen.summary) == (STARTING, "MoonPhase: new moon")


def test_a_reason_that_the_message_begins_with_is_told_once() -> None:
    message = "ImagePullBackOff: the image x cannot be pulled"
    seen = seen_at(sandbox(status=status(Reason.IMAGE_PULL_BACK_OFF, message)), NOW)
    assert seen.summary == message


def test_a_condition_without_a_message_is_explained_by_the_table() -> None:
    seen = seen_at(sandbox(status=status(Reason.OOM_KILLED)), NOW)
    assert seen.summary == f"OOMKilled: {MEANINGS[Reason.OOM_KILLED].text}"


@pytest.mark.parametrize("text", ABSURD)
def test_any_time_can_be_looked_at(text: str) -> None:
    found = sandbox(spec={"restartedAt": text}, status={**status(Reason.PENDING), "startingSince": text})
    assert seen_at(found, NOW).reason == Reason.PENDING

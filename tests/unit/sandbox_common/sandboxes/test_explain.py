"""Cause, evidence and remedy of every state."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox_common.cluster_events import ClusterEvent
from sandbox_common.reasons import MEANINGS, SUSPENSIONS, ExpiryReason, Reason
from sandbox_common.sandboxes.explain import Explanation, Surroundings, explain
from sandbox_common.sandboxes.view import view
from sandbox_crds.models import Sandbox, SandboxClassSpec
from unit.sandbox_gateway.support import KEYS, NOW, sandbox, status

KEY_ID = KEYS.key_id("uid-1")
SESSION, SECRET = KEYS.session_key(KEY_ID), KEYS.secret_key(KEY_ID)


def explained(
    found: Sandbox, around: Surroundings | None = None, *, reached: bool = True, now: datetime = NOW
) -> Explanation:
    return explain(
        found, view(found, now, reached=reached, class_=SandboxClassSpec(), left=False), around or Surroundings()
    )


def told(reason: Reason, message: str, **fields: Any) -> Explanation:
    return explained(sandbox(status=status(reason, message, **fields)))


def texts(answer: Explanation, source: str) -> list[str]:
    return [entry.text for entry in answer.evidence if entry.source == source]


def happened(reason: str, note: str, *, ago: int = 0, count: int = 1) -> ClusterEvent:
    return ClusterEvent(reason, note, "Pod", "pod-uid", NOW - timedelta(seconds=ago), "Warning", "sb-a-x", count)


@pytest.mark.parametrize("reason", [reason for reason in Reason if MEANINGS[reason].lifecycle in {"starting", "error"}])
def test_a_failure_is_taken_apart_into_cause_and_remedy(reason: Reason) -> None:
    answer = told(reason, "what went wrong. Remedy: what to do.", remedy="what to do.")
    assert (answer.runtime_id, answer.reason) == ("sb-a", reason)
    assert (answer.cause, answer.remedy) == ("what went wrong.", "what to do.")
    assert texts(answer, "condition") == [f"Ready is False, {reason}: what went wrong."]
    assert answer.evidence[0].time == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("would_lose", [True, False])
def test_one_that_is_never_suspended_for_idleness_says_so(would_lose: bool) -> None:
    up = sandbox(spec={"idleTimeoutSeconds": 60}, status=status(Reason.READY, launch="Cold"))
    found = texts(explained(up, Surroundings(would_lose_workspace=would_lose)), "launch")
    assert [text for text in found if "discardOnSuspension of SandboxClass default" in text] == found[1:]
    assert len(found) == 1 + would_lose


@pytest.mark.parametrize("reason", [reason for reason in Reason if MEANINGS[reason].lifecycle in {"starting", "error"}])
def test_a_condition_without_words_is_explained_by_the_table(reason: Reason) -> None:
    for message in ("", f"Remedy: {MEANINGS[reason].remedy}" if MEANINGS[reason].remedy else ""):
        answer = told(reason, message)
        assert answer.remedy == MEANINGS[reason].remedy
        assert answer.cause == MEANINGS[reason].text


def test_a_start_that_has_lasted_too_long_says_so_beside_the_cause() -> None:
    why = "Started again. The agent server ended with exit code 1: boom"
    told = status(
        Reason.CONTAINER_RESTARTING,
        f"{why}. Remedy: Check it.",
        remedy="Check it.",
        log="boom",
        startingSince="2026-01-02T03:04:05Z",
    )
    found = sandbox(status=told)
    before, after = explained(found), explained(found, now=NOW + timedelta(hours=1))
    assert (before.status, after.status) == ("starting", "error")
    assert before.cause == "Started again. The agent server ended with exit code 1."
    assert after.cause == f"Not ready after 285 s (pendingTimeoutSeconds): {before.cause}"
    assert before.remedy == after.remedy == "Check it."
    for answer in (before, after):
        assert [entry.text for entry in answer.evidence if entry.source == "log"] == ["boom"]


@pytest.mark.parametrize(
    ("message", "cause", "log"),
    [
        (
            "The agent server ended with exit code 1: Traceback:\n  boom: x",
            "The agent server ended with exit code 1.",
            "Traceback:\n  boom: x",
        ),
        (
            "Started again. The agent server ended with exit code 143 (SIGTERM), Evil: bye",
            "Started again. The agent server ended with exit code 143 (SIGTERM), Evil.",
            "bye",
        ),
        (
            "The agent server ran out of memory (OOMKilled, exit code 137): last words",
            "The agent server ran out of memory (OOMKilled, exit code 137).",
            "last words",
        ),
        ("The agent server ended with exit code 1.", "The agent server ended with exit code 1.", ""),
        ("The image x cannot be pulled: not found", "The image x cannot be pulled: not found", ""),
    ],
)
def test_log_lines_are_evidence(message: str, cause: str, log: str) -> None:
    for text in (message, f"{message} Remedy: Read the log."):
        answer = told(Reason.CRASH_LOOP_BACK_OFF, text, log=log, remedy="Read the log.")
        assert (answer.cause, texts(answer, "log")) == (cause, [log] if log else [])


def test_what_a_program_writes_into_its_log_is_no_remedy() -> None:
    message = "The agent server ended with exit code 1: Remedy: Panic. Remedy: Read the log."
    answer = told(Reason.CRASH_LOOP_BACK_OFF, message, log="Remedy: Panic.", remedy="Read the log.")
    assert (answer.cause, answer.remedy) == ("The agent server ended with exit code 1.", "Read the log.")
    assert texts(answer, "log") == ["Remedy: Panic."]


@pytest.mark.parametrize(
    ("launch", "text", "time"),
    [
        (
            {"launch": "Warm", "pool": "a-pool"},
            "Warm start: its pod was claimed, ready, from SandboxPool a-pool",
            "2026-01-02T03:04:01Z",
        ),
        (
            {"launch": "Cold", "poolMiss": "PoolEmpty: a-pool has no free pod"},
            "Cold start, since no warm pod fits: PoolEmpty: a-pool has no free pod",
            "2026-01-02T03:00:00Z",
        ),
        ({"launch": "Cold"}, "Cold start: its pod was made for it", "2026-01-02T03:00:00Z"),
        # Why the first pod was a cold one says nothing about a later one.
        (
            {"launch": "Resume", "poolMiss": "PoolEmpty"},
            "Resumed: its pod was made for it anew",
            "2026-01-02T03:00:00Z",
        ),
    ],
)
def test_how_it_was_launched_is_evidence(launch: dict[str, Any], text: str, time: str) -> None:
    times = {"startTime": "2026-01-02T03:00:00Z", "readyTime": "2026-01-02T03:04:01Z"}
    answer = told(Reason.READY, "", **times, **launch)
    assert answer.launch == launch["launch"]
    assert [(entry.text, entry.time) for entry in answer.evidence if entry.source == "launch"] == [(text, time)]


def test_what_was_lost_is_evidence_while_it_runs() -> None:
    loss = {"time": "2026-01-02T03:00:00Z", "reason": "TmpFull", "workspace": "Lost", "podUID": "old"}
    answer = told(Reason.READY, "", lostPods=1, lastLoss=loss)
    [lost] = [entry for entry in answer.evidence if entry.source == "loss"]
    assert lost.time == "2026-01-02T03:00:00Z"
    assert "raise pod.tmpSize of the SandboxClass" in lost.text
    assert texts(told(Reason.READY, ""), "loss") == []


def test_what_has_no_pod_was_not_launched() -> None:
    assert texts(explained(sandbox()), "launch") == []


def test_the_last_restart_is_evidence_while_it_runs_again() -> None:
    words = "The agent server ended with exit code 3: ValueError: boom"
    answer = told(Reason.READY, "", restartReason=words, restartCount=1, log="ValueError: boom")
    assert [(entry.text, entry.time) for entry in answer.evidence if entry.source == "log"] == [
        ("ValueError: boom", "")
    ]


def test_a_status_of_the_version_before_is_understood() -> None:
    """It has no `remedy` and no `log`: the table has the remedy, and cause and restart reason end with the log."""
    why = "The agent server ended with exit code 1: boom"
    meaning = MEANINGS[Reason.CRASH_LOOP_BACK_OFF]
    looping = told(Reason.CRASH_LOOP_BACK_OFF, f"{why}. Remedy: {meaning.remedy}", restartReason=why, restartCount=3)
    assert (looping.cause, looping.remedy) == (f"{why}.", meaning.remedy)
    assert texts(looping, "condition") == [f"Ready is False, CrashLoopBackOff: {why}."]
    assert texts(told(Reason.READY, "", restartReason=why, restartCount=1), "log") == [why]
    words = "It was idle for longer than its idle timeout. The workspace is kept."
    asleep = status(Reason.IDLE, f"{words} Remedy: {MEANINGS[Reason.IDLE].remedy}")
    answer = explained(sandbox(spec={"suspend": True, "suspendReason": "Idle"}, status=asleep))
    assert answer.cause.endswith(words)
    assert "wakes it" in answer.remedy


def test_a_running_one_says_how_requests_reach_it() -> None:
    found = sandbox(status=status(Reason.READY))
    in_header_mode = explained(found)
    assert (in_header_mode.status, in_header_mode.pod_status) == ("running", "ready")
    assert in_header_mode.cause == MEANINGS[Reason.READY].text
    assert "X-Session-API-Key" in in_header_mode.remedy
    assert "gateway.baseDomain" in in_header_mode.remedy
    in_host_mode = explained(found, Surroundings(base_domain="box.test", service_ports={"work-1": 12000})).remedy
    assert "*.box.test" in in_host_mode
    assert "work-1-sb-a.box.test (port 12000)" in in_host_mode
    assert "vscode" not in in_host_mode
    assert "servicePorts" in explained(found, Surroundings(base_domain="box.test")).remedy


def test_one_that_the_gateway_does_not_reach_points_to_the_network() -> None:
    found = sandbox(spec={"command": ["server", "--port", "1234"]}, status=status(Reason.READY))
    answer = explained(found, reached=False)
    assert (answer.status, answer.pod_status) == ("starting", "pending")
    assert "has not reached" in answer.cause
    assert "NetworkPolicies" in answer.remedy
    assert "1234" in answer.remedy


@pytest.mark.parametrize(
    ("by", "words", "remedy"),
    [
        ("Requested", "POST /pause", "/resume"),
        ("Idle", "idle", "wakes it"),
        ("StartTimeout", "too long", "/resume"),
        ("", "somebody set spec.suspend", "/resume"),
    ],
)
def test_a_paused_one_says_who_did_it_since_when_and_what_wakes_it(by: str, words: str, remedy: str) -> None:
    resume = "Resume it: POST /resume."
    reported = status(SUSPENSIONS[by], f"The workspace is kept. Remedy: {resume}", remedy=resume)
    answer = explained(sandbox(spec={"suspend": True, "suspendReason": by}, status=reported))
    assert (answer.status, answer.pod_status, answer.reason) == ("paused", "not found", SUSPENSIONS[by])
    assert words in answer.cause
    assert "since 2026-01-02T03:04:05Z" in answer.cause
    assert answer.cause.endswith("The workspace is kept.")
    assert remedy in answer.remedy


def test_one_that_is_just_being_paused_says_so() -> None:
    found = sandbox(spec={"suspend": True}, status=status(Reason.SUSPENDING, "The pod ends."))
    answer = explained(found)
    assert (answer.status, answer.reason, answer.cause) == ("paused", Reason.SUSPENDING, "The pod ends.")


@pytest.mark.parametrize(("suspend", "words"), [(True, "paused"), (False, "to run")])
@pytest.mark.parametrize("reported", [{}, status(Reason.SUSPENDED, "old", observedGeneration=0)])
def test_an_operator_that_has_not_looked_is_named(suspend: bool, words: str, reported: dict[str, Any]) -> None:
    answer = explained(sandbox(spec={"suspend": suspend}, status=reported))
    assert words in answer.cause
    assert "operator has not looked" in answer.cause
    assert "operator runs" in answer.remedy


def test_one_that_serves_is_ready_whatever_the_operator_has_yet_to_look_at() -> None:
    answer = explained(sandbox(spec={"idleTimeoutSeconds": 5}, status=status(Reason.READY, observedGeneration=0)))
    assert (answer.status, answer.reason) == ("running", Reason.READY)
    assert "operator has not looked" not in answer.cause


@pytest.mark.parametrize("why", ExpiryReason)
def test_one_that_will_be_deleted_says_so_whatever_it_does(why: ExpiryReason) -> None:
    expiring = {
        "type": "Expiring",
        "status": "True",
        "reason": why,
        "message": "It will be deleted at 04:00.",
        "lastTransitionTime": "2026-01-02T03:00:00Z",
    }
    reported = status(Reason.READY)
    answer = explained(sandbox(status={**reported, "conditions": [*reported["conditions"], expiring]}))
    assert answer.reason == Reason.READY
    assert f"deleted ({why}): It will be deleted at 04:00." in answer.cause
    assert texts(answer, "condition")[1] == f"Expiring is True, {why}: It will be deleted at 04:00."
    assert len(answer.remedy) > len(explained(sandbox(status=reported)).remedy)
    expiring["status"] = "False"
    over = explained(sandbox(status={**reported, "conditions": [*reported["conditions"], expiring]}))
    assert "deleted" not in over.cause


def test_events_come_last_the_newest_first_and_not_too_many() -> None:
    events = [happened("Failed", f"attempt {number}", ago=100 - number) for number in range(30)]
    found = sandbox(status=status(Reason.STARTING))
    answer = explained(found, Surroundings(events))
    assert [entry.source for entry in answer.evidence] == ["condition", *["event"] * 20]
    assert answer.evidence[1].text == "Warning Failed, Pod sb-a-x: attempt 29"
    assert answer.evidence[1].time == "2026-01-02T03:02:54Z"
    often = explained(found, Surroundings([happened("Failed", "again", count=7)]))
    assert texts(often, "event") == ["Warning Failed, Pod sb-a-x: again (7 times)"]


def test_events_that_cannot_be_read_are_no_secret() -> None:
    around = Surroundings(events_problem="They could not be read.")
    assert texts(explained(sandbox(), around), "event") == ["They could not be read."]


def test_no_key_gets_into_an_explanation() -> None:
    other = KEYS.session_key(KEYS.key_id("other"))
    message = f"The agent server ended with exit code 1: {SESSION} {SECRET} {other} Remedy: use {SESSION}"
    reported = status(
        Reason.CRASH_LOOP_BACK_OFF, message, restartReason=message, log=f"{SESSION} {SECRET}", remedy=f"use {SESSION}"
    )
    around = Surroundings([happened(SESSION, f"{SECRET} {other}")], f"problem {SESSION}", secrets=(SESSION, SECRET))
    answer = explained(sandbox(status=reported), around).model_dump_json()
    for key in (SESSION, SECRET, other):
        assert key not in answer
    assert answer.count("[redacted]") >= 8

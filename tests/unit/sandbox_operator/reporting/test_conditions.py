"""What conditions say, and when their last transition was."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_crds.models import Condition, SandboxStatus
from sandbox_operator.reporting.conditions import READY, patch, ready, said, with_remedy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("message", "remedy", "whole"),
    [
        ("The image is gone.", "Push it.", "The image is gone. Remedy: Push it."),
        ("exit code 1", "Read the log.", "exit code 1. Remedy: Read the log."),
        ("last words:", "Read on.", "last words: Remedy: Read on."),
        ("exit code 1 ", "Read the log.", "exit code 1. Remedy: Read the log."),
        ("exit code 1", "", "exit code 1"),
        ("", "Wait.", "Remedy: Wait."),
        ("", "", ""),
    ],
)
def test_a_remedy_is_a_sentence_of_its_own(message: str, remedy: str, whole: str) -> None:
    assert with_remedy(message, remedy) == whole


@given(message=st.text(max_size=4096), remedy=st.sampled_from(["", "Wait.", "Ask the owner of the quota."]))
def test_what_was_said_says_the_same_again(message: str, remedy: str) -> None:
    whole = with_remedy(message, remedy)
    assert len(whole) <= 2048
    assert whole.endswith(remedy)
    told = Condition(type=READY, status="False", reason="R", message=whole, last_transition_time="")
    assert with_remedy(said(told), remedy) == whole


def condition(*, holds: bool, reason: str) -> Condition:
    return Condition(
        type=READY,
        status="True" if holds else "False",
        reason=reason,
        message="old",
        last_transition_time="2025-01-01T00:00:00Z",
    )


@pytest.mark.parametrize(
    ("old", "kept"),
    [
        (None, False),
        (condition(holds=True, reason="Filled"), True),
        (condition(holds=False, reason="Filled"), False),
        (condition(holds=True, reason="Other"), False),
    ],
)
def test_a_transition_is_a_change_of_status_or_reason(old: Condition | None, kept: bool) -> None:
    made = ready(old, holds=True, reason="Filled", message="new", now=NOW)
    assert (made.status, made.reason, made.message) == ("True", "Filled", "new")
    assert made.last_transition_time == ("2025-01-01T00:00:00Z" if kept else "2026-01-02T03:04:05Z")
    assert ready(made, holds=True, reason="Filled", message="new", now=NOW + timedelta(hours=1)) == made


def test_a_patch_holds_what_differs() -> None:
    old = SandboxStatus.model_validate({"podIP": "192.0.2.1", "restartCount": 1})
    assert patch(old, old.model_copy()) == {}
    assert patch(old, old.model_copy(update={"restart_count": 2, "pod_ip": ""})) == {"restartCount": 2, "podIP": ""}

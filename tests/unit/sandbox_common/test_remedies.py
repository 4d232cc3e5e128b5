"""Remedies in the messages of conditions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.reasons import EXPIRIES, MEANINGS, ExpiryReason, Reason
from sandbox_common.remedies import said, with_remedy, without_remedy
from sandbox_crds.models import Condition, SandboxStatus


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
    assert with_remedy(without_remedy(whole, remedy), remedy) == whole


def told(message: str, *, type_: str = "Ready", reason: str = Reason.UNSCHEDULABLE, remedy: str = "") -> str:
    condition = Condition(type=type_, status="False", reason=reason, message=message, last_transition_time="")
    return said(SandboxStatus(remedy=remedy), condition)


def test_a_remedy_is_known_and_not_looked_for() -> None:
    by_table = MEANINGS[Reason.UNSCHEDULABLE].remedy
    log = "The program says. Remedy: Panic."
    assert told(f"{log} Remedy: Add nodes.", remedy="Add nodes.") == log
    # As versions before `status.remedy` wrote it, also after one that has it.
    for before in ("", "Add nodes."):
        assert told(f"{log} Remedy: {by_table}", remedy=before) == log
    expiry = EXPIRIES[ExpiryReason.MAXIMUM_LIFE].remedy
    assert told(f"Soon. Remedy: {expiry}", type_="Expiring", reason=ExpiryReason.MAXIMUM_LIFE, remedy="-") == "Soon."
    for others in (told(log), told(log, type_="Theirs"), told(log, reason="Unheard"), told(log, remedy="Wait.")):
        assert others == log

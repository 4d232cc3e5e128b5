"""The table of reasons is complete, and keeps the rules that clients depend on."""

import pytest

from sandbox_common.reasons import (
    EXPIRIES,
    MEANINGS,
    POOL_MEANINGS,
    SUSPENSIONS,
    ExpiryReason,
    PoolReason,
    Reason,
)

CLASSIFIED = ("OOMKill", "OutOfMemory", "ImagePullBackOff", "ErrImagePull", "cannot be scheduled", "Insufficient ")
"""What clients look for in an error's text to know its cause; so each may stand only where it is true."""

SELF_EVIDENT = {Reason.READY, Reason.PENDING, Reason.STARTING, Reason.POD_TERMINATING, Reason.SUSPENDING}
"""Reasons with which there is nothing to do but wait."""


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_every_expiry_has_a_text() -> None:
    assert set(EXPIRIES) == set(ExpiryReason)


def test_only_ready_is_told_as_ready() -> None:
    assert [reason for reason, meaning in MEANINGS.items() if meaning.pod_status == "ready"] == [Reason.READY]
    assert [reason for reason, meaning in MEANINGS.items() if meaning.lifecycle == "running"] == [Reason.READY]


def test_failed_and_error_go_together() -> None:
    for reason, meaning in MEANINGS.items():
        assert (meaning.pod_status == "failed") is (meaning.lifecycle == "error"), reason


def test_what_passes_is_on_its_way_and_a_trouble() -> None:
    on_its_way = {reason for reason, meaning in MEANINGS.items() if meaning.lifecycle == "starting"}
    usual = {Reason.PENDING, Reason.STARTING, Reason.POD_TERMINATING}
    assert {reason for reason, meaning in MEANINGS.items() if meaning.passing} == on_its_way - usual


def test_final_is_only_what_repetition_cannot_mend() -> None:
    assert {reason for reason, meaning in MEANINGS.items() if meaning.lifecycle == "error"} == {
        Reason.LIMIT_REACHED,
        Reason.TERMINATING,
        Reason.IMAGE_NOT_FOUND,
        Reason.IMAGE_PULL_DENIED,
        Reason.PULL_CREDENTIALS_REFUSED,
        Reason.INVALID_IMAGE_NAME,
        Reason.RUNTIME_HANDLER_NOT_FOUND,
        Reason.COMMAND_CANNOT_RUN,
        Reason.AGENT_SERVER_UNUSABLE,
        Reason.IMAGE_VOLUMES_UNSUPPORTED,
        Reason.IMAGE_USER_REFUSED,
        Reason.CRASH_LOOP_BACK_OFF,
        Reason.OOM_KILLED,
        Reason.STORAGE_CLASS_NOT_FOUND,
        Reason.POD_REFUSED,
        Reason.SANDBOX_CLASS_NOT_FOUND,
    }


def test_a_remedy_stands_wherever_a_person_can_do_something() -> None:
    assert {reason for reason, meaning in MEANINGS.items() if not meaning.remedy} == SELF_EVIDENT


@pytest.mark.parametrize("reason", Reason)
def test_remedies_are_whole_sentences_without_another_cause_s_words(reason: Reason) -> None:
    remedy = MEANINGS[reason].remedy
    assert remedy == "" or remedy.endswith(".")
    assert len(remedy) <= 200
    assert not [word for word in CLASSIFIED if word in remedy]


def test_every_suspension_is_told_as_paused() -> None:
    assert {MEANINGS[reason].lifecycle for reason in SUSPENSIONS.values()} == {"paused"}


def test_every_reason_of_a_pool_has_a_meaning_and_each_obstacle_a_remedy() -> None:
    assert set(POOL_MEANINGS) == set(PoolReason)
    without = {reason for reason, meaning in POOL_MEANINGS.items() if not meaning.remedy}
    assert without == {PoolReason.FILLED, PoolReason.FILLING}
    for meaning in POOL_MEANINGS.values():
        assert meaning.text.endswith(".")
        assert not meaning.remedy or meaning.remedy.rstrip("`").endswith(".")

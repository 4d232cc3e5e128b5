"""The table of reasons is complete, and keeps the rules that clients depend on."""

from sandbox_crds.reasons import MEANINGS, Reason


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_only_ready_is_told_as_ready() -> None:
    assert [reason for reason, meaning in MEANINGS.items() if meaning.pod_status == "ready"] == [Reason.READY]
    assert [reason for reason, meaning in MEANINGS.items() if meaning.lifecycle == "running"] == [Reason.READY]


def test_failed_and_error_go_together() -> None:
    for reason, meaning in MEANINGS.items():
        assert (meaning.pod_status == "failed") is (meaning.lifecycle == "error"), reason


def test_a_grace_belongs_to_what_can_still_pass() -> None:
    for reason, meaning in MEANINGS.items():
        assert meaning.fatal_after is None or meaning.lifecycle == "starting", reason

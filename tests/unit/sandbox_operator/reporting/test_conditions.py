"""When the last transition of a condition was."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox_crds.models import Condition, SandboxStatus
from sandbox_operator.reporting.conditions import READY, patch, ready

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


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

"""When the last transition of a condition was."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox_crds.models import Condition, SandboxStatus
from sandbox_operator.reporting.conditions import READY, condition, patch

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ready(*, status: str = "True", reason: str, generation: int | None = 1) -> Condition:
    return Condition.model_validate(
        {
            "type": READY,
            "status": status,
            "reason": reason,
            "message": "old",
            "lastTransitionTime": "2025-01-01T00:00:00Z",
            "observedGeneration": generation,
        }
    )


def filled(old: Condition | None, message: str = "new", generation: int = 1, now: datetime = NOW) -> Condition:
    return condition(READY, old, holds=True, reason="Filled", message=message, generation=generation, now=now)


@pytest.mark.parametrize(
    ("old", "kept"),
    [
        (None, False),
        (ready(reason="Filled"), True),
        (ready(status="False", reason="Filled"), False),
        (ready(reason="Other"), False),
    ],
)
def test_a_transition_is_a_change_of_status_or_reason(old: Condition | None, kept: bool) -> None:
    made = filled(old)
    assert (made.status, made.reason, made.message, made.observed_generation) == ("True", "Filled", "new", 1)
    assert made.last_transition_time == ("2025-01-01T00:00:00Z" if kept else "2026-01-02T03:04:05Z")
    assert filled(made, now=NOW + timedelta(hours=1)) == made


def test_a_condition_has_the_generation_that_it_speaks_of() -> None:
    assert filled(ready(reason="Filled"), "old", generation=2).observed_generation == 2


def test_a_condition_of_an_earlier_version_gets_its_generation_with_the_next_change() -> None:
    old = ready(reason="Filled", generation=None)
    assert filled(old, "old", generation=2) is old
    assert filled(old, "new", generation=2).observed_generation == 2
    assert "observedGeneration" not in old.model_dump(by_alias=True)


def test_a_patch_holds_what_differs() -> None:
    old = SandboxStatus.model_validate({"podIP": "192.0.2.1", "restartCount": 1})
    assert patch(old, old.model_copy()) == {}
    assert patch(old, old.model_copy(update={"restart_count": 2, "pod_ip": ""})) == {"restartCount": 2, "podIP": ""}

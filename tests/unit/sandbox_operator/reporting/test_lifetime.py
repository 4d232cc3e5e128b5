"""Limits that do not show in a plan; those that do are among its cases."""

from datetime import timedelta
from typing import Any

import pytest

from sandbox_common.times import rfc3339
from sandbox_operator.builders.environment import idle_timeout
from sandbox_operator.watching.pods import Pod
from unit.sandbox_operator.limit_cases import LIMITS
from unit.sandbox_operator.samples import NOW, VOLUME, class_, ready, sandbox

KEEPS, LOSES = ready(volume_claim=VOLUME), ready()


@pytest.mark.parametrize(
    ("own", "of_class", "seconds"),
    [(None, None, 0), (None, 0, 0), (None, 1200, 1200), (0, 1200, 0), (60, 1200, 60), (60, 0, 60), (60, None, 60)],
)
def test_a_sandbox_s_own_idle_timeout_wins(own: int | None, of_class: int | None, seconds: int) -> None:
    known = None if of_class is None else class_(idleTimeoutSeconds=of_class, workspace={"persistent": True})
    assert idle_timeout(sandbox(idleTimeoutSeconds=own), known, KEEPS) == seconds


@pytest.mark.parametrize(
    ("asked", "of_class", "seconds"),
    [
        pytest.param(None, 1200, 1200, id="nothing"),
        pytest.param(60, 1200, 60, id="less"),
        pytest.param(1200, 1200, 1200, id="the same"),
        pytest.param(1201, 1200, 1200, id="more"),
        pytest.param(0, 1200, 1200, id="never"),
        pytest.param(0, 0, 0, id="never, as the class"),
        pytest.param(60, 0, 60, id="a class without a limit"),
        pytest.param(60, None, 60, id="no class"),
    ],
)
def test_a_client_of_the_gateway_cannot_pass_the_limit_of_the_class(
    asked: int | None, of_class: int | None, seconds: int
) -> None:
    known = None if of_class is None else class_(idleTimeoutSeconds=of_class, workspace={"persistent": True})
    assert idle_timeout(sandbox(idleTimeoutSeconds=asked, owner="team-a", sessionID="s"), known, KEEPS) == seconds


@pytest.mark.parametrize(
    ("workspace", "present", "seconds"),
    [
        pytest.param({}, None, 0, id="no volume"),
        pytest.param({}, LOSES, 0, id="no volume, with a pod"),
        pytest.param({"discardOnSuspension": True}, None, 1200, id="the class accepts the loss"),
        pytest.param({"discardOnSuspension": True}, LOSES, 1200, id="the class accepts the loss, with a pod"),
        pytest.param({"persistent": True}, None, 1200, id="a volume"),
        pytest.param({"persistent": True}, KEEPS, 1200, id="a volume, with a pod"),
        pytest.param({"persistent": True}, LOSES, 0, id="the class got volumes after the pod"),
        pytest.param({}, KEEPS, 1200, id="the class has no volumes any longer"),
        pytest.param(None, LOSES, 0, id="no class"),
    ],
)
def test_no_idle_timeout_applies_if_the_workspace_would_be_lost(
    workspace: dict[str, Any] | None, present: Pod | None, seconds: int
) -> None:
    known = None if workspace is None else class_(idleTimeoutSeconds=1200, workspace=workspace)
    own = 1200 if known is None else None
    assert idle_timeout(sandbox(idleTimeoutSeconds=own), known, present) == seconds


def test_a_suspension_that_begins_anew_is_as_long_as_any() -> None:
    """However short the sandbox ran in between, and whether or not anybody saw it."""
    told = LIMITS["resumed and suspended again in time"].plan().status
    assert told
    [ready] = told["conditions"]
    assert ready["lastTransitionTime"] == rfc3339(NOW + timedelta(seconds=2000))

"""Which sandboxes have work that a pause would lose."""

from typing import Any

import pytest

from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.workspaces import would_lose_workspace
from sandbox_crds.models import SandboxClassSpec
from unit.sandbox_gateway.support import sandbox, status

SINCE = "2026-01-02T03:04:05Z"
KEPT, DISCARDED = {"persistent": True}, {"discardOnSuspension": True}
PLAIN: dict[str, bool] = {}


@pytest.mark.parametrize(
    ("workspace", "of_pod", "lost"),
    [
        pytest.param(PLAIN, None, True, id="no volume, of an earlier version"),
        pytest.param(KEPT, None, False, id="a volume, of an earlier version"),
        pytest.param(None, None, True, id="no class, of an earlier version"),
        pytest.param(PLAIN, False, True, id="no volume"),
        pytest.param(KEPT, True, False, id="a volume"),
        pytest.param(KEPT, False, True, id="the class got volumes after the pod"),
        pytest.param(PLAIN, True, False, id="the class has no volumes any longer"),
        pytest.param(None, False, True, id="no class"),
        pytest.param(None, True, False, id="a volume, no class"),
        pytest.param(DISCARDED, False, False, id="the class accepts the loss"),
    ],
)
def test_the_pod_counts_and_what_its_class_accepts(
    workspace: dict[str, Any] | None, of_pod: bool | None, lost: bool
) -> None:
    found = sandbox(status={**status(Reason.READY, readyTime=SINCE), "workspaceKept": of_pod})
    class_ = None if workspace is None else SandboxClassSpec.model_validate({"workspace": workspace})
    assert would_lose_workspace(found, class_) is lost


def test_what_never_worked_or_is_suspended_has_nothing_to_lose() -> None:
    starting = sandbox(status=status(Reason.STARTING, workspaceKept=False))
    suspended = sandbox(spec={"suspend": True}, status=status(Reason.READY, readyTime=SINCE, workspaceKept=False))
    for found in (starting, suspended):
        assert not would_lose_workspace(found, SandboxClassSpec())


def test_one_that_fails_after_it_has_worked_still_has_its_work() -> None:
    crashing = sandbox(status=status(Reason.CRASH_LOOP_BACK_OFF, readyTime=SINCE, workspaceKept=False))
    assert would_lose_workspace(crashing, SandboxClassSpec())

"""How tools that follow kstatus see sandboxes: what has failed for good has failed, and all else is on its way."""

from typing import Any

import pytest

from sandbox_common.reasons import Reason
from sandbox_crds.manifests import schemas
from sandbox_crds.models import Sandbox
from sandbox_operator.reporting.refusals import Refusal
from unit.sandbox_operator.cases import MADE, decide
from unit.sandbox_operator.kstatus import Verdict, verdict
from unit.sandbox_operator.limit_cases import LIMITS
from unit.sandbox_operator.plan_cases import CASES
from unit.sandbox_operator.replacement_cases import REPLACEMENTS
from unit.sandbox_operator.samples import LATER, ready, sandbox, status
from unit.sandbox_operator.suspension_cases import SUSPENSIONS

ALL = {**CASES, **SUSPENSIONS, **REPLACEMENTS, **LIMITS}

VERDICTS: dict[Reason, Verdict] = {
    Reason.READY: "Current",
    Reason.TERMINATING: "Terminating",
    **dict.fromkeys(
        (
            *(Reason.IMAGE_NOT_FOUND, Reason.IMAGE_PULL_DENIED, Reason.PULL_CREDENTIALS_REFUSED),
            *(Reason.INVALID_IMAGE_NAME, Reason.RUNTIME_HANDLER_NOT_FOUND, Reason.COMMAND_CANNOT_RUN),
            *(Reason.AGENT_SERVER_UNUSABLE, Reason.IMAGE_VOLUMES_UNSUPPORTED, Reason.IMAGE_USER_REFUSED),
            *(Reason.CRASH_LOOP_BACK_OFF, Reason.OOM_KILLED, Reason.STORAGE_CLASS_NOT_FOUND, Reason.POD_REFUSED),
            *(Reason.SANDBOX_CLASS_NOT_FOUND, Reason.LIMIT_REACHED, Reason.START_TIMEOUT),
        ),
        "Failed",
    ),
}
"""By the reason of the condition Ready; all others are InProgress. Suspended sandboxes, too: no field of a status makes
an object Current whose condition Ready is false."""


def stored(of: Sandbox, patch: dict[str, Any]) -> dict[str, Any]:
    """The object as the API server has it after this merge patch of the status."""
    body = of.model_dump(by_alias=True)
    return {**body, "status": {**body["status"], **patch}}


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.told])
def test_what_is_reported_is_seen_by_tools(name: str) -> None:
    case = ALL[name]
    assert case.told
    patch = case.plan().status
    assert patch
    after = stored(case.sandbox, patch)
    found, message = verdict(after)
    assert found == VERDICTS.get(case.told, "InProgress")
    if found in {"Failed", "InProgress"}:
        assert message == next(each["message"] for each in after["status"]["conditions"] if each["type"] == "Ready")


def test_all_verdicts_are_met() -> None:
    met = {VERDICTS.get(case.told, "InProgress") for case in ALL.values() if case.told}
    assert met == {"Current", "InProgress", "Failed", "Terminating"}


def test_a_sandbox_that_recovers_is_no_longer_failed() -> None:
    failed = sandbox(status=status(Reason.CRASH_LOOP_BACK_OFF))
    assert verdict(failed.model_dump(by_alias=True))[0] == "Failed"
    patch = decide(failed, ready(), made=MADE).status
    assert patch
    assert verdict(stored(failed, patch))[0] == "Current"


def test_a_failure_costs_no_write_of_its_own_and_one_that_lasts_none() -> None:
    """One that an earlier version has reported without the condition Stalled gets it with one write."""
    refused = Refusal(Reason.POD_REFUSED, "no")
    patch = decide(sandbox(), refusal=refused).status
    assert patch
    assert [each["type"] for each in patch["conditions"]] == ["Ready", "Stalled"]
    known = Sandbox.model_validate(stored(sandbox(), patch))
    assert decide(known, refusal=refused, now=LATER).status is None
    of_before = known.status.model_copy(update={"conditions": known.status.conditions[:1]})
    again = decide(known.model_copy(update={"status": of_before}), refusal=refused, now=LATER).status
    assert again
    assert again.keys() == {"conditions"}


@pytest.mark.parametrize("kind", ["Sandbox", "SandboxPool", "SandboxImages"])
def test_a_new_object_is_in_progress_before_the_operator_has_seen_it(kind: str) -> None:
    status = schemas()[kind]["properties"]["status"]["default"]
    assert verdict({"metadata": {"generation": 1}, "status": status}) == ("InProgress", "")


def test_a_changed_object_is_in_progress_until_the_operator_has_seen_the_change() -> None:
    patch = decide(sandbox(), ready(), made=MADE).status
    assert patch
    assert verdict(stored(sandbox(), patch))[0] == "Current"
    assert verdict(stored(sandbox(generation=2), patch))[0] == "InProgress"

"""What pause, resume and stop write, and how they judge what comes of it."""

import re
from typing import Any

import pytest
from click.testing import CliRunner

from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.main import ohsb
from kubectl_ohsb.sandboxes.changing import PAUSE, RESUME, STOP, Verb, judged, paused, report, resumed
from kubectl_ohsb.sandboxes.store import state
from kubectl_ohsb.sandboxes.waiting import Look
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.specs import PAUSED, RUNNING
from sandbox_crds.models import SandboxClassSpec
from unit.sandbox_gateway.support import NOW, sandbox, status

CLASS = SandboxClassSpec()
READY = "2026-01-02T03:04:05Z"


def test_what_runs_is_paused_and_what_a_request_could_wake() -> None:
    assert paused(sandbox(), CLASS, discard=False) == PAUSED
    assert paused(sandbox(spec={"suspend": True, "suspendReason": "Idle"}), CLASS, discard=False) == PAUSED
    assert paused(sandbox(spec={"suspend": True, "suspendReason": "Requested"}), CLASS, discard=False) is None


def test_a_workspace_is_lost_only_with_consent() -> None:
    up = sandbox(status=status(Reason.READY, readyTime=READY, workspaceKept=False))
    with pytest.raises(Refusal, match=r"would lose /workspace.*--discard-workspace"):
        paused(up, CLASS, discard=False)
    assert paused(up, CLASS, discard=True) == PAUSED


def test_what_is_paused_runs_again_and_what_has_failed_gets_a_new_pod() -> None:
    assert resumed(sandbox(spec={"suspend": True}), CLASS, NOW) == RUNNING
    assert resumed(sandbox(status=status(Reason.READY)), CLASS, NOW) is None
    failed = resumed(sandbox(status=status(Reason.IMAGE_NOT_FOUND)), CLASS, NOW)
    assert failed is not None
    assert failed["restartedAt"] == READY


def test_what_is_being_deleted_is_left_alone() -> None:
    for change in (
        lambda: paused(sandbox(deleting=True), CLASS, discard=True),
        lambda: resumed(sandbox(deleting=True), CLASS, NOW),
    ):
        with pytest.raises(Refusal, match="finalizers"):
            change()


def look(*, current: bool = True, **fields: Any) -> Look:
    return Look("sb-a", state(sandbox(**fields), CLASS, NOW), current)


UP, GONE = look(status=status(Reason.READY)), Look("sb-a", None, current=True)
SUSPENDED = look(spec={"suspend": True}, status=status(Reason.SUSPENDED))
ENDING = look(spec={"suspend": True}, status=status(Reason.SUSPENDING))
FAILED = look(status=status(Reason.IMAGE_NOT_FOUND, "no such image"))
STARTING = look(status=status(Reason.UNSCHEDULABLE, "no room"))
OUTDATED = look(status=status(Reason.READY), current=False)


@pytest.mark.parametrize(
    ("verb", "seen", "result"),
    [
        (PAUSE, SUSPENDED, "paused"),
        (PAUSE, ENDING, "waiting"),
        (PAUSE, OUTDATED, "waiting"),
        (PAUSE, UP, "failed"),
        (PAUSE, GONE, "failed"),
        (RESUME, UP, "resumed"),
        (RESUME, OUTDATED, "waiting"),
        (RESUME, STARTING, "waiting"),
        (RESUME, FAILED, "failed"),
        (RESUME, SUSPENDED, "failed"),
        (RESUME, GONE, "failed"),
        (STOP, GONE, "stopped"),
        (STOP, UP, "waiting"),
    ],
)
def test_the_last_look_decides(verb: Verb, seen: Look, result: str) -> None:
    outcome = judged(verb, "sb-a", True, seen, 60)
    assert outcome.result == result
    assert bool(outcome.problem) is (result in {"waiting", "failed"})
    if outcome.problem:
        assert re.search(r"^not \w+( after 60 s)?: sb-a: .*kubectl ohsb explain sb-a$", outcome.problem)


def test_a_problem_ends_with_1_and_is_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = judged(PAUSE, "sb-a", True, SUSPENDED, 1), judged(PAUSE, "sb-b", True, ENDING, 1)
    report([good], "table")
    assert capsys.readouterr().out == "sandbox sb-a paused\n"
    with pytest.raises(SystemExit, match="1"):
        report([good, bad], "table")
    shown = capsys.readouterr()
    assert shown.out == "sandbox sb-a paused\n"
    assert shown.err.startswith("Error: not paused after 1 s")


@pytest.mark.parametrize("command", ["pause", "resume", "stop"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--all --owner"),
        (["--all"], "--owner"),
        (["--owner", "a"], "--all"),
        (["sb-a", "--all", "--owner", "a"], "--all --owner"),
        (["SB_A"], "is not a name"),
        (["../secrets/x"], "is not a name"),
        (["sb-a", "--timeout", "soon"], "--timeout"),
        (["--all", "--owner", "a\x1b"], "is not an owner"),
    ],
)
def test_wrong_options_are_named(command: str, arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(ohsb, [command, *arguments])
    assert result.exit_code == 2
    assert named in result.output
    assert "\x1b" not in result.output

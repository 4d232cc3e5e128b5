"""Whole runs: what they report, what they leave behind, and how they end."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance.cli import app
from conformance.contract import SECTIONS
from unit.conformance.conftest import Conform, Run, Serve
from unit.conformance.control_plane import API_KEY, OTHER_API_KEY
from unit.conformance.faults import Fault


def outcomes(run: Run, section: str) -> dict[str, str]:
    return {test["name"]: test["outcome"] for test in run.report["tests"] if test["section"] == section}


def test_server_without_a_fault_conforms(conform: Conform) -> None:
    run = conform(Fault.NONE)
    assert run.exit_code == 0, run.output
    assert list(run.report["sections"]) == [section.key for section in SECTIONS]
    assert (run.tests("failed"), run.tests("warned"), run.tests("blocked")) == (set(), set(), set())
    assert set(outcomes(run, "SDK").values()) == {"not run"}
    assert "not run SDK, 8 of its tests: SDK not given (--sdk-python)" in run.output
    assert "conforms to what was asked" in run.output
    assert (run.report["left_behind"], run.left) == ([], 0)
    assert all(test["source"] and test["clients"] for test in run.report["tests"] if test["weight"] == "required")


@pytest.mark.parametrize("fault", [Fault.EVERY_OWNER_SEES_ALL, Fault.SESSION_KEY_UNCHECKED, Fault.NEVER_READY])
def test_keys_are_in_no_report(conform: Conform, fault: Fault) -> None:
    run = conform(fault, "A2", "A3", "A4", "A8", "C", deselect="minute or large_files", patience=2)
    assert run.exit_code == 1
    for text in (run.output, run.junit, str(run.report)):
        assert "session-key-" not in text
        assert API_KEY not in text
        assert OTHER_API_KEY not in text


def test_warnings_and_failures_are_told_apart_in_junit(conform: Conform) -> None:
    run = conform(Fault.BATCH_REFUSES_UNKNOWN, "A3")
    cases = {case.get("name"): case for case in ET.fromstring(run.junit).iter("testcase")}  # noqa: S314
    assert cases["test_unknown_sessions_are_left_out"].find("failure") is not None
    warned = cases["test_nothing_known"]
    assert warned.find("failure") is None
    [told] = [entry for entry in warned.iter("property") if entry.get("name") == "warned"]
    assert "one of them is unknown" in str(told.get("value"))


def test_blocked_tests_name_the_cause(conform: Conform) -> None:
    run = conform(Fault.COMMAND_MUST_BE_A_LIST, "A5")
    assert Counter(outcomes(run, "A5").values())["blocked"] > 5
    assert run.exit_code == 1, "what could not be seen must not pass"
    assert all(
        "command must be a list" in test["reason"] for test in run.report["tests"] if test["outcome"] == "blocked"
    )


def test_without_another_key_nothing_is_claimed_about_owners(conform: Conform) -> None:
    run = conform(Fault.NONE, "A9", options=("--other-api-key", ""))
    assert outcomes(run, "A9")["test_another_owner_sees_no_runtime"] == "not run"
    assert "another owner's key is not given (--other-api-key)" in run.output
    assert run.exit_code == 0


def test_sandboxes_that_stay_are_named(conform: Conform) -> None:
    run = conform(Fault.STOP_WITHOUT_EFFECT, "A9", patience=2)
    assert run.left == 1
    [line] = run.report["left_behind"]
    assert "agent-server-" in line
    assert "LEFT BEHIND" in run.output


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_ended_run_leaves_nothing_behind(serve: Serve, end: signal.Signals) -> None:
    with serve(Fault.NEVER_READY) as served:
        env = {**os.environ, "RUNTIME_API_KEY": API_KEY}
        run = subprocess.Popen(
            [sys.executable, "-m", "conformance", "--url", served.url], env=env, stdout=subprocess.DEVNULL
        )
        while not served.boxes.of("one"):
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(end)
        assert run.wait(60) == 2
        assert served.boxes.of("one") == []


def interpreter(directory: Path, *lines: str) -> tuple[str, ...]:
    """The option for an interpreter that prints these lines, whatever it is told to run."""
    path = directory / "python"
    path.write_text("\n".join(["#!/bin/sh", *(f"echo '{line}'" for line in lines), "exit 1"]))
    path.chmod(0o755)
    return "--sdk-python", str(path)


def test_failing_step_of_the_sdk(conform: Conform, tmp_path: Path) -> None:
    steps = ('{"step": "constructor", "error": ""}', '{"step": "command", "error": "ConnectError: gone"}')
    run = conform(Fault.NONE, "SDK", options=interpreter(tmp_path, *steps))
    told = outcomes(run, "SDK")
    assert told["test_step[constructor]"] == "passed"
    assert told["test_step[command]"] == "failed"
    assert told["test_step[files]"] == "blocked"
    assert run.exit_code == 1


def test_interpreter_without_the_sdk(conform: Conform, tmp_path: Path) -> None:
    run = conform(Fault.NONE, "SDK", options=interpreter(tmp_path))
    assert set(outcomes(run, "SDK").values()) == {"failed"}
    assert run.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", "http://127.0.0.1:1"], "does not answer"),
        (["--url", "ftp://127.0.0.1"], "does not answer"),
        (["--url", "http://127.0.0.1:1", "--section", "A99"], "there is no section A99; there are A2, A3"),
        ([], "--url"),
    ],
)
def test_what_cannot_run_says_why(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"RUNTIME_API_KEY": API_KEY, "RUNTIME_API_URL": ""})
    assert result.exit_code == 2
    assert told in result.output


def test_refused_api_key_says_what_to_do(serve: Serve) -> None:
    with serve(Fault.NONE) as served:
        result = CliRunner().invoke(app, ["--url", served.url], env={"RUNTIME_API_KEY": "a wrong one"})
    assert result.exit_code == 2
    assert "Set RUNTIME_API_KEY" in result.output


def test_nothing_selected_is_no_success(serve: Serve) -> None:
    with serve(Fault.NONE) as served:
        arguments = ["--url", served.url, "--", "-k", "no_such_test"]
        result = CliRunner().invoke(app, arguments, env={"RUNTIME_API_KEY": API_KEY})
    assert result.exit_code == 2

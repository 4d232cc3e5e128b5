"""What is done in a container of another image before the agent server starts."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_cluster.paths import ROOT

FILE = ROOT / "agent_server_image" / "any" / "launch.py"


@pytest.fixture
def launch() -> Any:
    spec = importlib.util.spec_from_file_location("launch", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("given", "count"), [({}, "1"), ({"GIT_CONFIG_COUNT": ""}, "1"), ({"GIT_CONFIG_COUNT": "2"}, "3")]
)
def test_git_works_in_the_workspace(launch: Any, given: dict[str, str], count: str) -> None:
    environment = dict(given)
    launch._allow_git_everywhere(environment)
    last = int(count) - 1
    assert environment["GIT_CONFIG_COUNT"] == count
    assert environment[f"GIT_CONFIG_KEY_{last}"] == "safe.directory"
    assert environment[f"GIT_CONFIG_VALUE_{last}"] == "*"


@pytest.mark.parametrize("count", ["-1", "01", "x", "12345", "٣"])
def test_a_strange_count_of_git_s_is_left_alone(launch: Any, count: str) -> None:
    environment = {"GIT_CONFIG_COUNT": count}
    launch._allow_git_everywhere(environment)
    assert environment == {"GIT_CONFIG_COUNT": count}


def test_git_leaves_files_of_the_agent_server_alone_unless_somebody_has_said_so(launch: Any, tmp_path: Path) -> None:
    launch._ignore(tmp_path / "new", ["*"])
    assert (tmp_path / "new" / ".gitignore").read_text() == "*\n"
    (tmp_path / "new" / ".gitignore").write_text("own\n")
    launch._ignore(tmp_path / "new", ["*"])
    assert (tmp_path / "new" / ".gitignore").read_text() == "own\n"
    launch._ignore(tmp_path / "new" / ".gitignore" / "impossible", ["*"])


def test_the_working_directory_is_made(launch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    launch._enter(tmp_path / "a" / "b")
    assert Path.cwd() == tmp_path / "a" / "b"


@pytest.mark.parametrize(("given", "below"), [(True, True), (False, True), (False, False)])
def test_a_directory_that_a_container_runtime_has_made_in_the_workspace_is_made_anew(
    launch: Any, given: bool, below: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "project"
    own.mkdir(mode=0o555)
    monkeypatch.chdir(own)
    monkeypatch.setattr(launch, "WORKSPACE", tmp_path if below else tmp_path / "workspace")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "none")
    monkeypatch.setattr(launch, "_offer_programs", _stop)
    settings: dict[str, Any] = {"directory": str(own) if given else "", "ignored": {}}
    monkeypatch.setattr(sys, "argv", ["launch.py", json.dumps(settings)])
    monkeypatch.setattr(os, "access", _is_root_s)
    monkeypatch.setattr(os, "getuid", lambda: own.stat().st_uid + 1)
    with pytest.raises(InterruptedError):
        launch.main()
    assert (own.stat().st_mode & 0o777 != 0o555) is below
    assert Path.cwd() == own


def _stop(_: object) -> None:
    raise InterruptedError


def _is_root_s(_file: object, _mode: int) -> bool:
    return False


@pytest.mark.parametrize("path", ["", "/bin:/own"])
def test_programs_come_last_in_path(launch: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"PATH": path}
    launch._offer_programs(environment)
    own = path or os.defpath
    assert environment["PATH"] == f"{own}:{launch.ANY}/path:{launch.ANY}/tmux"
    without_bash = {"PATH": path}

    def is_executable(file: str, _: int) -> bool:
        return file == "/bin/sh"

    monkeypatch.setattr(os, "access", is_executable)
    launch._offer_programs(without_bash)
    assert without_bash["PATH"] == f"{own}:{launch.ANY}/path"


def test_without_a_shell_commands_run_in_the_agent_servers(launch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess.Popen, "__init__", subprocess.Popen.__init__)
    launch._use_shell("/bin/bash")
    assert subprocess.run("echo $BASH_VERSION", shell=True, capture_output=True, check=True).stdout.strip()  # noqa: S602
    assert subprocess.run(["/bin/echo", "$0"], capture_output=True, check=True).stdout == b"$0\n"

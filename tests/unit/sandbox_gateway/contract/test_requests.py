"""Bodies of real clients, and what the fields of /start accept."""

import shlex
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sandbox_crds import names
from sandbox_gateway.contract.requests import StartRequest

# openhands_workspace 1.58.2, APIRemoteWorkspace
SDK: dict[str, Any] = {
    "image": "ghcr.io/openhands/agent-server:1.58.2-python",
    "command": "/usr/local/bin/openhands-agent-server --port 60000",
    "working_dir": "/",
    "environment": {},
    "session_id": "agent-server-5a0f4fc2-8cb4-44fd-9a92-5b1d3d3b5b4e",
    "run_as_user": 10001,
    "fs_group": 10001,
    "image_pull_policy": "IfNotPresent",
    "runtime_class": "sysbox-runc",
}
# openhands_ai 1.11.0, RemoteSandboxService
APP: dict[str, Any] = {
    "image": "ghcr.io/openhands/agent-server:1.58.2-python",
    "command": ["/usr/local/bin/openhands-agent-server", "--port", "60000"],
    "working_dir": "/workspace",
    "environment": {"LOG_JSON": "true", "OH_CONVERSATIONS_PATH": "/workspace/conversations", "WORKER_1": "12000"},
    "session_id": "5Xk3ZbQ0aAbBcCdDeEfF9q",
    "resource_factor": 1,
    "run_as_user": 10001,
    "run_as_group": 10001,
    "fs_group": 10001,
}
# RemoteRuntime of OpenHands before version 1
LEGACY: dict[str, Any] = {
    "image": "ghcr.io/all-hands-ai/runtime:0.62-nikolaik",
    "command": ["/openhands/micromamba/bin/micromamba", "run", "-n", "openhands", "python", "-u", "server"],
    "working_dir": "/openhands/code/",
    "environment": {},
    "session_id": "0123456789abcdef0123456789abcdef",
    "resource_factor": 2,
}


def test_the_sdks_body() -> None:
    request = StartRequest.model_validate(SDK)
    assert request.command == ["/usr/local/bin/openhands-agent-server", "--port", "60000"]
    assert (request.run_as_user, request.run_as_group, request.fs_group) == (10001, None, 10001)
    assert (request.runtime_class, request.resource_factor) == ("sysbox-runc", 1)


def test_the_apps_body() -> None:
    request = StartRequest.model_validate(APP)
    assert (request.command, request.environment) == (APP["command"], APP["environment"])


def test_the_legacy_body() -> None:
    request = StartRequest.model_validate(LEGACY)
    assert (request.resource_factor, request.run_as_user, request.fs_group) == (2, 10001, 10001)


def test_null_and_unknown_fields_count_as_absent() -> None:
    extra = {"environment": None, "command": None, "run_as_user": None, "tomorrow": object()}
    assert StartRequest.model_validate({**SDK, **extra}) == StartRequest.model_validate(
        {name: value for name, value in SDK.items() if name not in extra}
    )


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"))))
def test_a_command_is_split_as_a_shell_would(words: list[str]) -> None:
    request = StartRequest.model_validate({**SDK, "command": shlex.join(words)})
    assert request.command == words


@pytest.mark.parametrize("command", ["a; rm -rf /", "a && b", "$(a)", "`a`", "a > b", "a | b"])
def test_a_shells_operators_are_words(command: str) -> None:
    assert StartRequest.model_validate({**SDK, "command": command}).command == command.split(" ")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=1024))
def test_any_text_that_can_be_seen_is_a_session_id(session_id: str) -> None:
    request = StartRequest.model_validate({**SDK, "session_id": session_id})
    assert request.session_id == session_id
    assert names.is_sandbox_name(names.runtime_id("alice", request.session_id, b"k" * 32))


@given(st.text(), st.text())
def test_an_environment_is_taken_whole_or_refused(name: str, value: str) -> None:
    characters = set(string.ascii_letters + string.digits + "._-")
    usable = name not in {"", "."} and set(name) <= characters and name[0] not in string.digits
    usable = usable and not name.startswith("..")
    good = usable and len(name) <= 253 and "\0" not in value
    body = {**SDK, "environment": {name: value}}
    if good:
        assert StartRequest.model_validate(body).environment == {name: value}
    else:
        with pytest.raises(ValidationError):
            StartRequest.model_validate(body)


def test_a_variable_as_large_as_linux_takes_one_is_accepted() -> None:
    environment = {"A": "x" * (128 * 1024 - 3)}
    assert StartRequest.model_validate({**SDK, "environment": environment}).environment == environment


def test_an_error_tells_the_field_and_not_the_value() -> None:
    with pytest.raises(ValidationError) as refusal:
        StartRequest.model_validate({**SDK, "environment": {"TOKEN": ["hunter2"]}})
    assert "environment.TOKEN" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)

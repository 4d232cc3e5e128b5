"""The two objects that the gateway creates, whole."""

import re
from datetime import UTC, datetime

import pytest

from sandbox_common.environment import PENDING_TIMEOUT as VARIABLE
from sandbox_common.sandboxes.builders import environment_secret
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.builders import environment_spec, sandbox_body
from unit.sandbox_gateway.support import KEYS, sandbox

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
REQUEST = StartRequest.model_validate(
    {"image": "agent:1", "session_id": "s", "command": "a b", "working_dir": "/w", "fs_group": 7, "runtime_class": "x"}
)


def test_the_sandbox() -> None:
    assert sandbox_body("sb-a", "alice", REQUEST, environment_hash="h", class_name="big") == {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "Sandbox",
        "metadata": {"name": "sb-a", "labels": {"app.kubernetes.io/managed-by": "openhands-sandbox"}},
        "spec": {
            "image": "agent:1",
            "command": ["a", "b"],
            "workingDir": "/w",
            "environmentHash": "h",
            "className": "big",
            "resourceFactor": 1,
            "runAsUser": 10001,
            "runAsGroup": 7,
            "fsGroup": 7,
            "runtimeClassName": "x",
            "imagePullPolicy": "IfNotPresent",
            "service": "None",
            "sessionID": "s",
            "owner": "alice",
        },
    }


def test_an_idle_timeout_is_written_only_if_the_client_sends_one() -> None:
    for seconds in (0, 600):
        request = REQUEST.model_copy(update={"idle_timeout_seconds": seconds})
        body = sandbox_body("sb-a", "alice", request, environment_hash="", class_name="big")
        assert body["spec"]["idleTimeoutSeconds"] == seconds


@pytest.mark.parametrize(
    ("body", "environment", "written"),
    [({}, {}, None), ({}, {VARIABLE: "600"}, 600), ({"pending_timeout_seconds": 30}, {VARIABLE: "600"}, 30)],
)
def test_how_long_a_client_waits_is_written_if_it_says_so(
    body: dict[str, int], environment: dict[str, str], written: int | None
) -> None:
    request = StartRequest.model_validate({"image": "i", "session_id": "s", "environment": environment, **body})
    spec = sandbox_body("sb-a", "alice", request, environment_hash="", class_name="big")["spec"]
    assert spec.get("pendingTimeoutSeconds") == written


def test_ports_that_a_client_gives_its_services_are_noted() -> None:
    environment = {"OH_VSCODE_PORT": "60001", "WORKER_1": "3000", "WORKER_2": "any", "PORT": "80"}
    request = REQUEST.model_copy(update={"environment": environment})
    body = sandbox_body("sb-a", "alice", request, environment_hash="h", class_name="big")
    assert body["spec"]["servicePorts"] == {"vscode": 60001, "work-1": 3000}


@pytest.mark.parametrize(
    ("fields", "group"), [({}, 7), ({"run_as_group": 5}, 5), ({"run_as_group": 0}, 0), ({"fs_group": 0}, 0)]
)
def test_the_process_has_the_group_of_the_workspace_unless_another_is_asked_for(
    fields: dict[str, int], group: int
) -> None:
    request = REQUEST.model_copy(update=fields)
    body = sandbox_body("sb-a", "alice", request, environment_hash="h", class_name="big")
    assert body["spec"]["runAsGroup"] == group


def test_another_environment_has_a_secret_of_its_own_name_and_takes_away_the_ports_of_the_old() -> None:
    old = sandbox(spec={"environmentHash": "0" * 64, "servicePorts": {"vscode": 1, "work-1": 2}})
    environment = {"WORKER_1": "3000"}
    spec = environment_spec(environment, KEYS, old)
    assert spec == {
        "environmentHash": KEYS.environment_hash(environment),
        "environmentRevision": spec["environmentRevision"],
        "servicePorts": {"vscode": None, "work-1": 3000},
    }
    assert environment_spec(environment, KEYS, old) == spec
    assert environment_spec({}, KEYS, sandbox())["environmentHash"] == ""
    name = environment_secret(old, environment, spec["environmentRevision"])["metadata"]["name"]
    assert name == f"sb-a-jje2z6fg-env-{spec['environmentRevision']}"


def test_an_environment_that_comes_back_never_meets_its_former_secret_which_may_be_deleted() -> None:
    spec = {"environmentHash": KEYS.environment_hash({"TOKEN": "a"})}
    revisions = [""]
    for token in ("b", "a", "b", "", "b", "c", "", "b"):
        environment = {"TOKEN": token} if token else {}
        spec = environment_spec(environment, KEYS, sandbox(spec=spec))
        revisions.append(spec["environmentRevision"])
    assert len(set(revisions)) == len(revisions)
    assert all(re.fullmatch("[0-9a-f]{16}", revision) for revision in revisions[1:])


def test_the_environments_secret() -> None:
    assert environment_secret(sandbox(), {"A": "1"}, "") == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "sb-a-jje2z6fg-env",
            "labels": {
                "sandbox.openhands.dev/sandbox": "sb-a",
                "app.kubernetes.io/managed-by": "openhands-sandbox",
            },
            "ownerReferences": [
                {
                    "apiVersion": "sandbox.openhands.dev/v1alpha1",
                    "kind": "Sandbox",
                    "name": "sb-a",
                    "uid": "uid-1",
                }
            ],
        },
        "immutable": True,
        "stringData": {"A": "1"},
    }


def test_a_command_reaches_the_process_as_it_was_sent() -> None:
    # Kubernetes expands $(NAME) in commands and reads $$ as a plain $.
    request = StartRequest.model_validate(
        {"image": "a", "session_id": "s", "command": ["sh", "-c", "echo $$ $(ID) $x"]}
    )
    body = sandbox_body("sb-a", "alice", request, environment_hash="", class_name="big")
    assert body["spec"]["command"] == ["sh", "-c", "echo $$$$ $$(ID) $$x"]

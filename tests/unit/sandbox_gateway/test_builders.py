"""The two objects that the gateway creates, whole."""

from sandbox_gateway.builders import environment_secret, sandbox_body
from sandbox_gateway.requests import StartRequest
from unit.sandbox_gateway.support import sandbox

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


def test_the_environments_secret() -> None:
    assert environment_secret(sandbox(), {"A": "1"}) == {
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

"""The runtime class that the SDK asks for, mapped to a handler of the node's that is not its default."""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.injections import OWNER, class_body, sandbox_body
from cluster.runtime import READY_SECONDS
from cluster.site import Site
from cluster.support import NAMESPACE, eventually
from demo.targets import Images
from local_cluster.node import SECOND_HANDLER
from local_cluster.paths import State
from sandbox_crds.names import runtime_id

SESSION = CLASS = "second-runtime"
NAME = f"{NAMESPACE}-{SECOND_HANDLER}"
"""Of the RuntimeClass, which is outside of namespaces."""
SERVER = "cd /tmp && touch health && exec python3 -m http.server 60000"
"""Answers as an agent server does when it is asked for its health, without the seconds of its boot."""


@pytest.fixture
def started(site: Site, images: Images) -> Iterator[Site]:
    handler = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": NAME}}
    spec: dict[str, Any] = {
        "className": CLASS,
        "image": images.agent_server,
        "command": ["sh", "-c", SERVER, "sh", "--port", "60000"],
        "runtimeClassName": "sysbox-runc",
    }
    items = [
        {**handler, "handler": SECOND_HANDLER},
        class_body(CLASS, {"runtimeClasses": {"sysbox-runc": NAME}}),
        sandbox_body(SESSION, spec),
    ]
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    site.kubectl("apply", "--filename", "-", body=body)
    yield site
    site.kubectl("delete", "--filename", "-", body=body)


def test_the_class_that_the_sdk_asks_for_runs_by_the_handler_that_it_is_mapped_to(
    started: Site, images: Images
) -> None:
    asked: dict[str, Any] = {
        "session_id": SESSION,
        "image": images.agent_server,
        "runtime_class": "sysbox-runc",
        "environment": {},
    }
    eventually(
        lambda: started.gateway.post("/start", json=asked).json(),
        lambda answer: answer.get("pod_status") == "ready",
        READY_SECONDS,
    )
    name = started.kubectl("get", "ohsb", runtime_id(OWNER, SESSION), "--output", "json")["status"]["podName"]
    pod = started.kubectl("get", "pod", name, "--output", "json")
    assert pod["spec"]["runtimeClassName"] == NAME
    [container] = pod["status"]["containerStatuses"]
    records = State.from_environment().containerd / SECOND_HANDLER / "k8s.io"
    assert (records / container["containerID"].removeprefix("containerd://")).is_dir()

"""Starts through the Runtime API that cannot work as asked."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cluster.support import Kubectl, eventually
from demo.targets import Images


def start(gateway: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = gateway.post("/start", json={"session_id": uuid.uuid4().hex, "environment": {}, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def started(gateway: httpx.Client) -> Iterator[list[dict[str, Any]]]:
    """Runtimes that the test started; they are stopped after it."""
    runtimes: list[dict[str, Any]] = []
    yield runtimes
    for runtime in runtimes:
        gateway.post("/stop", json={"runtime_id": runtime["runtime_id"]})


def test_a_program_that_does_not_exist(gateway: httpx.Client, images: Images, started: list[dict[str, Any]]) -> None:
    runtime = start(gateway, image=images.agent_server, command="/no/such/program --port 60000")
    started.append(runtime)
    seen = eventually(
        lambda: gateway.get(f"/sessions/{runtime['session_id']}").json(),
        lambda seen: seen["pod_status"] == "failed",
    )
    assert "/no/such/program" in seen["pod_logs"]


def test_an_unknown_runtime_class_is_dropped_with_an_event(
    gateway: httpx.Client, images: Images, started: list[dict[str, Any]], kubectl: Kubectl
) -> None:
    command = ["sleep", "600"]
    runtime = start(gateway, image=images.agent_server, command=command, runtime_class="made-up")
    started.append(runtime)
    assert runtime["pod_status"] in {"pending", "running"}
    events = kubectl("get", "events", "--output", "json")["items"]
    [event] = [
        event
        for event in events
        if event["involvedObject"]["name"] == runtime["runtime_id"] and event["reason"] == "RuntimeClassDropped"
    ]
    assert "made-up" in event["message"]
    asked_by_sdk = start(gateway, image=images.agent_server, command=command, runtime_class="sysbox-runc")
    started.append(asked_by_sdk)
    assert asked_by_sdk["pod_status"] in {"pending", "running"}

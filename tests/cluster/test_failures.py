"""What goes wrong has a name: in the condition, in the Runtime API and in the SDK's error."""

import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.support import Kubectl
from demo.release import Release
from demo.targets import Images

MISSING_IMAGE = "localhost/not-there:1"
SDK_PROGRAM = """
import sys
from openhands.workspace import APIRemoteWorkspace
url, key, image = sys.argv[1:]
APIRemoteWorkspace(runtime_api_url=url, runtime_api_key=key, server_image=image)
"""


def start(gateway: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = gateway.post("/start", json={"session_id": uuid.uuid4().hex, "environment": {}, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def poll_until_failed(gateway: httpx.Client, session_id: str, seconds: float = 60) -> dict[str, Any]:
    """What the Runtime API says once it has given the sandbox up."""
    deadline = time.monotonic() + seconds
    while True:
        seen = gateway.get(f"/sessions/{session_id}").json()
        if seen["pod_status"] == "failed":
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.5)


@pytest.fixture
def started(gateway: httpx.Client) -> Iterator[list[dict[str, Any]]]:
    """Runtimes that the test started; they are stopped after it."""
    runtimes: list[dict[str, Any]] = []
    yield runtimes
    for runtime in runtimes:
        gateway.post("/stop", json={"runtime_id": runtime["runtime_id"]})


def test_the_sdk_names_an_image_that_cannot_be_pulled(release: Release, gateway_url: str, sdk: Path) -> None:
    # Half of the 300 s after which the SDK gives up by itself, without a reason.
    done = subprocess.run(
        [str(sdk), "-c", SDK_PROGRAM, gateway_url, release.api_key(), MISSING_IMAGE],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode != 0
    last_words = done.stderr.strip().splitlines()[-30:]
    error = "\n".join(last_words)
    assert "ImagePullBackOff" in error
    assert MISSING_IMAGE in error


def test_a_process_that_exits_at_once(
    gateway: httpx.Client, images: Images, started: list[dict[str, Any]], kubectl: Kubectl
) -> None:
    command = ["sh", "-c", "echo no such configuration >&2; exit 3"]
    runtime = start(gateway, image=images.agent_server, command=command)
    started.append(runtime)
    seen = poll_until_failed(gateway, runtime["session_id"])
    assert seen["status"] == "error"
    assert "no such configuration" in seen["pod_logs"]
    assert "3" in seen["pod_logs"]
    conditions = kubectl("get", "ohsb", runtime["runtime_id"], "--output", "json")["status"]["conditions"]
    assert conditions[0]["reason"] == "CrashLoopBackOff"


def test_a_program_that_does_not_exist(gateway: httpx.Client, images: Images, started: list[dict[str, Any]]) -> None:
    runtime = start(gateway, image=images.agent_server, command="/no/such/program --port 60000")
    started.append(runtime)
    assert "/no/such/program" in poll_until_failed(gateway, runtime["session_id"])["pod_logs"]


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

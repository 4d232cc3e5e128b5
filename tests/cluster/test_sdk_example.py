"""The SDK's own example, unmodified SDK, in both modes and from both sides of the cluster's edge.

The example itself checks the command's output, that the agent's file appears and goes, and that the events came over
the WebSocket; its exit code says whether all of it held.
"""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.site import Site
from cluster.support import eventually
from demo.outside import run_example
from demo.release import Release
from demo.workloads import job_succeeded, scripted_model, start_client_job
from local_cluster.dns import SANDBOX_DOMAIN
from sandbox_crds.api import SANDBOX_LABEL


def sandbox_objects(release: Release) -> list[str]:
    """Whatever exists of sandboxes in the release's namespace."""
    sandboxes = release.kubectl("get", "ohsb", "--output", "name").split()
    kinds = "pods,secrets,services,persistentvolumeclaims"
    return sandboxes + release.kubectl("get", kinds, "--selector", SANDBOX_LABEL, "--output", "name").split()


def run_in_cluster(release: Release) -> str:
    """Run the example as a Job; gives its transcript."""
    start_client_job(release, "sdk-example", release.url, scripted_model(release.namespace))
    transcript = release.kubectl("logs", "--follow", "job/sdk-example")
    assert job_succeeded(release, "sdk-example"), transcript
    return transcript


def numbers(transcript: str) -> dict[str, Any]:
    return json.loads(transcript.strip().splitlines()[-1])


def test_client_in_the_cluster(release: Release) -> None:
    before = sandbox_objects(release)
    transcript = run_in_cluster(release)
    assert "Hello from sandboxed environment!" in transcript
    counted = numbers(transcript)
    assert counted["events_over_websocket"] == counted["events"] > 0
    eventually(lambda: sandbox_objects(release), lambda left: set(left) <= set(before))


def test_client_outside_the_cluster(release: Release, gateway_url: str, sdk: Path) -> None:
    before = sandbox_objects(release)
    code, transcript = run_example(release, sdk, gateway_url, scripted_model(release.namespace))
    assert code == 0, transcript
    assert gateway_url in transcript, "in header mode the sandbox's address is the gateway's own"
    eventually(lambda: sandbox_objects(release), lambda left: set(left) <= set(before))


def test_client_in_host_mode(host_mode: Site) -> None:
    assert f".{SANDBOX_DOMAIN}" in run_in_cluster(host_mode.release)


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}])
def test_no_key_no_entry(gateway_url: str, release: Release, headers: dict[str, str]) -> None:
    assert release.url
    answer = httpx.get(f"{gateway_url}/sessions/any", headers=headers, trust_env=False)
    assert answer.status_code == 401
    assert "X-API-Key" in answer.json()["detail"]

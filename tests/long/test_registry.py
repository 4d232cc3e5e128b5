"""The unmodified SDK starts sandboxes of a real registry that is away for a while, or slow for long."""

import os
import subprocess
import time
import uuid
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.site import Site
from cluster.support import eventually
from images.build import build
from images.recipes import ImageName
from local_cluster.cluster import Cluster
from local_cluster.paths import State
from local_cluster.progress import Progress
from local_cluster.registry import AUTHORITY, PUBLIC, Registry, Trouble
from local_cluster.registry_images import Blob, Image
from sandbox_common.reasons import Reason

AWAY = 45
PULLS, WAITS = 360, 600
"""Seconds: a pull of six minutes, and a client that waits ten."""
BYTES_PER_SECOND = 100_000
CLIENT = """
import sys
from openhands.workspace import APIRemoteWorkspace

url, key, session, image, seconds = sys.argv[1:]
with APIRemoteWorkspace(
    runtime_api_url=url,
    runtime_api_key=key,
    session_id=session,
    server_image=image,
    startup_wait_timeout=float(seconds),
) as workspace:
    print(workspace.execute_command("echo started").stdout)
"""


@pytest.fixture
def registry(site: Site, progress: Progress) -> Iterator[Registry]:
    registry = Cluster(State.from_environment()).registry
    registry.start(progress)
    yield registry
    registry.stop()


def push(registry: Registry, progress: Progress, repository: str, size: int = 0) -> str:
    """An image of the agent server that no node has had, of whose bytes the node lacks so many."""
    archive = build(ImageName.AGENT_SERVER, progress=progress).archive
    assert archive
    more = [Blob.layer({"random": os.urandom(size)})] if size else []
    registry.push(Image.of_archive(archive, label=uuid.uuid4().hex, more=more), repository, "1")
    return f"{AUTHORITY}/{repository}:1"


@contextmanager
def starting(site: Site, sdk: Path, session: str, image: str) -> Generator[Future[str]]:
    """What the SDK has to say in the end, of a start that begins now."""
    command = [sdk, "-c", CLIENT, site.url, site.release.api_key(), session, image, str(WAITS)]

    def run() -> str:
        done = subprocess.run(command, env=site.sdk_environment(), capture_output=True, text=True, timeout=WAITS + 60)
        return f"{done.stdout}{done.stderr}"

    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(run)


def seen(site: Site, session: str) -> dict[str, str]:
    answer = site.gateway.get(f"/sessions/{session}")
    return answer.json() if answer.is_success else {"pod_status": "", "status_detail": ""}


def test_a_registry_that_is_away_for_a_while_ends_no_start(
    site: Site, sdk: Path, registry: Registry, progress: Progress
) -> None:
    image = push(registry, progress, f"{PUBLIC}away-{uuid.uuid4().hex[:8]}")
    registry.stop()
    back = time.monotonic() + AWAY
    with starting(site, sdk, "registry-away", image) as end:
        why = eventually(
            lambda: seen(site, "registry-away"), lambda it: Reason.REGISTRY_UNAVAILABLE in it["status_detail"], AWAY
        )
        assert why["pod_status"] == "pending"
        assert "connection refused" in why["status_detail"]
        time.sleep(max(back - time.monotonic(), 0))
        registry.start(progress)
        assert "started" in end.result()


def test_a_pull_of_six_minutes_succeeds_with_a_client_that_waits_ten(
    site: Site, sdk: Path, registry: Registry, progress: Progress
) -> None:
    repository = f"{PUBLIC}slow-{uuid.uuid4().hex[:8]}"
    image = push(registry, progress, repository, PULLS * BYTES_PER_SECOND)
    registry.trouble({repository: Trouble(bytes_per_second=BYTES_PER_SECOND)})
    began = time.monotonic()
    told: list[str] = []
    with starting(site, sdk, "registry-slow", image) as end:
        while not end.done():
            told.append(seen(site, "registry-slow")["pod_status"])
            time.sleep(1)
    assert "started" in end.result()
    assert time.monotonic() - began > PULLS
    assert "failed" not in told

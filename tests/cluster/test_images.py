"""Images that are kept on the node: mounted by pods that run none of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.site import Site
from local_cluster.cluster import Cluster
from local_cluster.images import PAUSE, write_archive
from local_cluster.paths import State
from sandbox_common.reasons import Reason
from sandbox_crds.api import API_VERSION, IMAGES_LABEL

NAME = "tasks"
SMALL = tuple(f"localhost/kept-on-the-node:{number}" for number in range(3))
"""On the node already. Nothing in them can be run."""
MISSING = "localhost/not-there:1"


@pytest.fixture(scope="module")
def listed(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The list, once nothing is on its way any more."""
    cluster = Cluster(State.from_environment())
    for image in SMALL:
        archive: Path = tmp_path_factory.mktemp("image") / "image.tar"
        write_archive(archive, image, {"name": image.encode()}, {})
        cluster.load_image(archive)
    images = [*SMALL, MISSING, SMALL[0]]
    body = {"apiVersion": API_VERSION, "kind": "SandboxImages", "metadata": {"name": NAME}, "spec": {"images": images}}
    site.kubectl("apply", "--filename", "-", body=body)
    settled = "--for=jsonpath={.status.conditions[0].reason}=PullsFailing"
    site.kubectl("wait", settled, f"ohsi/{NAME}", "--timeout=120s")
    yield site.kubectl("get", "ohsi", NAME, "--output", "json")
    site.kubectl("delete", "ohsi", NAME)


def test_each_image_is_kept_by_a_pod_that_runs_only_the_pause_program(site: Site, listed: dict[str, Any]) -> None:
    pods = site.kubectl("get", "pods", "--selector", f"{IMAGES_LABEL}={NAME}", "--output", "json")["items"]
    running = [pod for pod in pods if pod["status"]["phase"] == "Running"]
    kept = [volume["image"]["reference"] for pod in running for volume in pod["spec"]["volumes"]]
    assert sorted(kept) == sorted(SMALL)
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {PAUSE.reference}
    assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 0 for pod in running)
    assert "sandbox.openhands.dev/sandbox" not in json.dumps([pod["metadata"]["labels"] for pod in pods])


def test_the_status_counts_them_and_names_what_fails(listed: dict[str, Any]) -> None:
    status = listed["status"]
    assert (status["images"], status["wanted"], status["ready"], status["failed"]) == (4, 4, 3, 1)
    [failure] = status["failures"]
    assert (failure["image"], failure["nodes"]) == (MISSING, 1)
    # Nothing listens where the registry would be.
    assert failure["reason"] == Reason.REGISTRY_UNAVAILABLE
    assert "connection refused" in failure["message"]
    assert [condition["type"] for condition in status["conditions"]] == ["Ready", "Duplicates"]

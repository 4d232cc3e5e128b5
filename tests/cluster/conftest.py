"""A real node with the chart installed, shared by all tests of this tier.

A cluster that is up already is used and left as it is; one that this run brought up is taken down at the end, and
then nothing of it may be left on the machine. Runs side by side need namespaces of their own: CLUSTER_TESTS_NAMESPACE.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.support import NAMESPACE, Kubectl
from demo.local_target import LocalTarget, node_port_url
from demo.outside import sdk_python
from demo.release import NAME, Release, install
from demo.targets import Images
from demo.workloads import deploy_model
from local_cluster.paths import State
from local_cluster.progress import Progress
from local_cluster.remains import leftovers
from sandbox_crds.api import SANDBOX_LABEL


@pytest.fixture(scope="session")
def progress() -> Progress:
    return Progress(sys.__stderr__)


@pytest.fixture(scope="session")
def target(progress: Progress) -> Iterator[LocalTarget]:
    state = State.from_environment()
    found = bool(leftovers(state))
    target = LocalTarget(egress=False)
    target.up(progress)
    yield target
    if not found:
        target.down(progress)
        assert leftovers(state) == []


@pytest.fixture(scope="session")
def images(target: LocalTarget, progress: Progress) -> Images:
    built = target.build_images(progress)
    target.load_images(built)
    return built


@pytest.fixture(scope="session")
def release(target: LocalTarget, images: Images, progress: Progress) -> Iterator[Release]:
    overrides = {"gateway": {"service": {"type": "NodePort"}}}
    release = install(target, images, NAMESPACE, progress, overrides)
    deploy_model(release)
    yield release
    target.kubectl("delete", "namespace", NAMESPACE, "--wait")


@pytest.fixture(scope="session")
def gateway_url(release: Release) -> str:
    """The gateway's address outside of the node's network namespace."""
    service = json.loads(release.kubectl("get", "service", f"{NAME}-gateway", "--output", "json"))
    return node_port_url(service["spec"]["ports"][0]["nodePort"])


@pytest.fixture(scope="session")
def gateway(release: Release, gateway_url: str) -> Iterator[httpx.Client]:
    """A client of the Runtime API, outside of the cluster."""
    headers = {"X-API-Key": release.api_key()}
    with httpx.Client(base_url=gateway_url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def sdk(progress: Progress) -> Path:
    """Python of an environment with the unmodified SDK."""
    return sdk_python(progress)


@pytest.fixture
def kubectl(release: Release) -> Kubectl:
    """Runs kubectl in the release's namespace; with `--output json` gives the parsed answer."""

    def run(*arguments: str, body: object = None) -> Any:
        text = release.kubectl(*arguments, stdin=None if body is None else json.dumps(body))
        return json.loads(text) if "json" in arguments else text

    return run


@pytest.fixture
def belongings(kubectl: Kubectl) -> Callable[[str], list[str]]:
    """Everything in the cluster that belongs to the sandbox of this name, the Sandbox itself too."""

    def list_all(name: str) -> list[str]:
        kinds = "pods,secrets,services,persistentvolumeclaims"
        found = kubectl("get", kinds, "--selector", f"{SANDBOX_LABEL}={name}", "--output", "name").split()
        return found + kubectl("get", "ohsb", name, "--ignore-not-found", "--output", "name").split()

    return list_all

"""An API server that knows nothing of the project yet, and namespaces in which the chart is installed."""

import json
import secrets
from collections.abc import Iterator

import pytest

from control_plane.helm.gateway_api import install_gateway_api
from control_plane.helm.prometheus_operator import install_prometheus_operator
from control_plane.helm.release import Cluster
from local_cluster.build import ensure
from local_cluster.control_plane import ControlPlane
from local_cluster.progress import Progress


@pytest.fixture(scope="package")
def bare() -> Iterator[ControlPlane]:
    """A control plane of its own, since the one that is shared has the CRDs already."""
    ensure(["helm"], Progress())
    with ControlPlane(controller_manager=True) as running:
        install_gateway_api(running)
        install_prometheus_operator(running)
        yield running


@pytest.fixture
def cluster(bare: ControlPlane) -> Iterator[Cluster]:
    """A fresh namespace that enforces Pod Security `restricted`."""
    cluster = Cluster(bare.kubeconfig, f"test-{secrets.token_hex(4)}")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata = {"name": cluster.namespace, "labels": labels}
    cluster.run(
        "kubectl",
        "create",
        "-f",
        "-",
        stdin=json.dumps({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata}),
    )
    yield cluster
    cluster.run("kubectl", "delete", "namespace", cluster.namespace, "--wait=false")

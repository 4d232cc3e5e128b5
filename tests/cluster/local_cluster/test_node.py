"""What the local cluster promises, on the running node."""

import http.client
import ssl

import pytest

from demo.local_target import LocalTarget
from local_cluster.cluster import DAEMONS, Cluster
from local_cluster.errors import ClusterError
from local_cluster.network import NODE_ADDRESS
from local_cluster.node import KUBELET_PORT
from local_cluster.paths import State
from local_cluster.progress import Progress
from local_cluster.remains import leftovers


@pytest.fixture
def cluster(target: LocalTarget) -> Cluster:
    return Cluster(State.from_environment())


def test_every_part_is_well_and_another_up_changes_nothing(cluster: Cluster, progress: Progress) -> None:
    assert [check.name for check in cluster.checks() if not check.ok] == []
    assert cluster.up(progress) is False


def test_a_way_out_is_not_opened_behind_a_running_clusters_back(cluster: Cluster, progress: Progress) -> None:
    with pytest.raises(ClusterError, match="runs without a way out") as refusal:
        cluster.up(progress, way_out=True)
    assert "down" in str(refusal.value)


def test_all_that_has_to_go_with_the_cluster_is_known(cluster: Cluster) -> None:
    found = "\n".join(leftovers(cluster.state))
    assert all(
        f"({name})" in found
        for name in (*DAEMONS, "containerd-shim-runc-v2", "pause", "coredns", "local-path-provisioner")
    )
    assert all(f"{kind} " in found for kind in ("mount", "cgroup", "link", "route", "file", "directory"))


@pytest.mark.parametrize("path", ["/pods", "/runningpods/", "/metrics"])
def test_the_kubelet_answers_nobody_without_credentials(cluster: Cluster, path: str) -> None:
    context = ssl.create_default_context(cafile=str(cluster.pki.ca))
    connection = http.client.HTTPSConnection(NODE_ADDRESS, KUBELET_PORT, context=context, timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == http.HTTPStatus.UNAUTHORIZED
    connection.close()


def test_a_pods_account_may_not_drive_the_kubelet(cluster: Cluster, target: LocalTarget) -> None:
    token = target.kubectl("create", "token", "default", "--namespace", "default").strip()
    context = ssl.create_default_context(cafile=str(cluster.pki.ca))
    connection = http.client.HTTPSConnection(NODE_ADDRESS, KUBELET_PORT, context=context, timeout=10)
    connection.request("GET", "/pods", headers={"Authorization": f"Bearer {token}"})
    assert connection.getresponse().status == http.HTTPStatus.FORBIDDEN
    connection.close()


def test_an_unreachable_image_archive_is_named(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="does not exist"):
        cluster.load_image(cluster.state.root / "none.tar")

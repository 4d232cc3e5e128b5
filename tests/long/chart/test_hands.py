"""The chart in other hands: scaled, rolled back, uninstalled, by both ways to apply of Helm 4."""

import base64
import json
from typing import Any

import pytest

from control_plane.helm.release import CHART, NAME, Cluster

GATEWAY = f"{NAME}-gateway"
MASTER_KEY = f"{NAME}-master-key"
WAYS = pytest.mark.parametrize("way", ["--server-side=true", "--server-side=false"])
"""Helm 4's own way to apply, and the one that it has in common with Helm 3."""
AUTOSCALED = ("--set", "gateway.autoscaling.enabled=true")
UNSIZED = ("--set", "gateway.replicas=null")


def replicas(cluster: Cluster) -> int:
    return json.loads(cluster.run("kubectl", "get", "deployment", GATEWAY, "--output", "json"))["spec"]["replicas"]


def scale(cluster: Cluster, number: int) -> None:
    cluster.run("kubectl", "scale", "deployment", GATEWAY, f"--replicas={number}")


@WAYS
@pytest.mark.parametrize("left_out", [AUTOSCALED, UNSIZED], ids=["autoscaled", "null"])
def test_an_upgrade_keeps_a_number_that_is_not_the_charts(
    cluster: Cluster,
    way: str,
    left_out: tuple[str, ...],
) -> None:
    cluster.install(way)
    assert replicas(cluster) == 2
    # Handed over: Helm set it before, so it must not fall back to Kubernetes' default of 1.
    cluster.install(way, *left_out)
    assert replicas(cluster) == 2
    for number in (5, 3):
        scale(cluster, number)
        cluster.install(way, *left_out)
        assert replicas(cluster) == number
    scale(cluster, 7)
    cluster.run("helm", "rollback", NAME, way)
    if way == "--server-side=true":
        assert replicas(cluster) == 7
    cluster.install(way, "--reset-values", *(["--force-conflicts"] if way == "--server-side=true" else []))
    assert replicas(cluster) == 2, "taken back"


def test_one_that_is_scaled_by_hand_is_upgraded_after_all(cluster: Cluster) -> None:
    cluster.install()
    scale(cluster, 5)
    refused = cluster.try_to("helm", "upgrade", NAME, str(CHART))
    assert ".spec.replicas" in refused.stderr
    cluster.install(*UNSIZED)
    assert replicas(cluster) == 5


@WAYS
def test_a_rollback_keeps_every_master_key(cluster: Cluster, way: str) -> None:
    cluster.install(way)
    v1 = cluster.entries(MASTER_KEY)["v1"]
    v2 = base64.b64encode(b"2" * 64).decode()
    cluster.run("kubectl", "patch", "secret", MASTER_KEY, "--patch", json.dumps({"data": {"v2": v2}}))
    both = {"v1": v1, "v2": "2" * 64}
    cluster.install(way, "--set", "log.level=DEBUG")
    assert cluster.entries(MASTER_KEY) == both
    cluster.run("helm", "rollback", NAME, "1", way)
    assert cluster.entries(MASTER_KEY) == both
    cluster.run("helm", "uninstall", NAME)
    cluster.install(way)
    assert cluster.entries(MASTER_KEY) == both


@WAYS
def test_an_upgrade_from_a_chart_that_rendered_all_versions_keeps_them(cluster: Cluster, way: str) -> None:
    cluster.install(way)
    v2 = base64.b64encode(b"2" * 64).decode()
    # Such a chart has no mark of its versions.
    before = {"data": {"v2": v2}, "metadata": {"annotations": {"sandbox.openhands.dev/versions-of-the-chart": None}}}
    cluster.run("kubectl", "patch", "secret", MASTER_KEY, "--type=merge", "--patch", json.dumps(before))
    for _ in range(2):
        cluster.install(way)
        assert set(cluster.entries(MASTER_KEY)) == {"v1", "v2"}


def policies(cluster: Cluster) -> dict[str, Any]:
    items = json.loads(cluster.run("kubectl", "get", "networkpolicies", "--output", "json"))["items"]
    return {item["metadata"]["name"].removeprefix(f"{NAME}-"): item["spec"] for item in items}


@WAYS
def test_sandboxes_that_outlive_an_uninstall_are_closed(cluster: Cluster, way: str) -> None:
    cluster.install(way)
    installed = policies(cluster)
    assert installed.keys() == {"sandboxes", "egress-internet", "images", "gateway", "operator"}
    cluster.run("helm", "uninstall", NAME)
    left = policies(cluster)
    assert left == {"sandboxes": installed["sandboxes"]}
    assert left["sandboxes"].get("egress", []) == []
    cluster.install(way)
    assert policies(cluster) == installed, "a new release takes it up"
    cluster.install(way, "--set", "networkPolicy.enabled=false")
    [off] = policies(cluster).values()
    assert (off["podSelector"], off["policyTypes"]) == (
        {"matchLabels": {"sandbox.openhands.dev/egress": "policies.off"}},
        ["Ingress"],
    )
    cluster.install(way, "--set", "networkPolicy.enabled=true")
    assert policies(cluster) == installed

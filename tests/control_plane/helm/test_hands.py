"""A release's life by Helm 4 and by Helm 3. `tests/long/chart` tries more of it, step by step."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from control_plane.helm.release import NAME, Cluster
from local_cluster.build import ensure
from local_cluster.progress import Progress

GATEWAY = f"{NAME}-gateway"
MASTER_KEY = f"{NAME}-master-key"
NAMING_KEY = f"{NAME}-naming-key"


def spec(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    return json.loads(cluster.run("kubectl", "get", kind, name, "--output", "json"))["spec"]


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_a_life_in_other_hands(cluster: Cluster, helm: str) -> None:
    ensure([helm], Progress())
    cluster = replace(cluster, helm=helm)
    # Scaled by hand, then upgraded: the chart's number is given up for good.
    cluster.install()
    cluster.run("kubectl", "scale", "deployment", GATEWAY, "--replicas=5")
    cluster.install("--set", "gateway.replicas=null")
    assert spec(cluster, "deployment", GATEWAY)["replicas"] == 5
    # A master key that somebody adds outlives upgrade, rollback and uninstall.
    keys, naming = {**cluster.entries(MASTER_KEY), "v2": "2" * 64}, cluster.entries(NAMING_KEY)
    added = json.dumps({"data": {"v2": base64.b64encode(b"2" * 64).decode()}})
    cluster.run("kubectl", "patch", "secret", MASTER_KEY, "--patch", added)
    cluster.install("--reuse-values", "--set", "gateway.autoscaling.enabled=true")
    assert spec(cluster, "horizontalpodautoscaler", GATEWAY)["minReplicas"] == 2
    assert spec(cluster, "deployment", GATEWAY)["replicas"] == 5
    cluster.run(helm, "rollback", NAME)
    assert (cluster.entries(MASTER_KEY), cluster.entries(NAMING_KEY)) == (keys, naming)
    # Sandboxes outlive the release, and so does the policy that closes them.
    policy = spec(cluster, "networkpolicy", f"{NAME}-sandboxes")
    cluster.run(helm, "uninstall", NAME)
    [left] = cluster.run("kubectl", "get", "networkpolicies", "--output", "name").split()
    assert left.endswith(f"{NAME}-sandboxes")
    cluster.install()
    assert cluster.entries(NAMING_KEY) == naming
    assert (cluster.entries(MASTER_KEY), spec(cluster, "networkpolicy", f"{NAME}-sandboxes")) == (keys, policy)

"""The chart in the hands of who has rights in one namespace only."""

import json
from pathlib import Path

import pytest
import yaml

from control_plane.helm.release import CHART, NAME, Cluster

ROLE = CHART / "files" / "installer-role.yaml"
EVERYTHING = Path(__file__).parents[2] / "unit" / "helm" / "golden" / "everything.values.yaml"
NAMESPACED = (
    "--values",
    str(EVERYTHING),
    "--set=admissionPolicy.create=false",
    "--set=operator.readNodes=false",
    "--set=gateway.autoscaling.enabled=true",
)


@pytest.fixture
def installer(cluster: Cluster) -> str:
    """A service account with the rights of the role, and no others."""
    cluster.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    cluster.run("kubectl", "create", "serviceaccount", "installer")
    cluster.run("kubectl", "create", "-f", str(ROLE))
    name = yaml.safe_load(ROLE.read_text())["metadata"]["name"]
    account = f"{cluster.namespace}:installer"
    cluster.run("kubectl", "create", "rolebinding", "installer", f"--role={name}", f"--serviceaccount={account}")
    return f"system:serviceaccount:{account}"


def test_the_role_is_enough_for_a_whole_life_of_a_release(cluster: Cluster, installer: str) -> None:
    def helm(*arguments: str) -> str:
        return cluster.run("helm", f"--kube-as-user={installer}", *arguments)

    helm("install", NAME, str(CHART), "--skip-crds", *NAMESPACED)
    helm("upgrade", NAME, str(CHART), "--reuse-values", "--set=log.level=DEBUG")
    helm("rollback", NAME)
    helm("status", NAME)
    left = json.loads(cluster.run("kubectl", "get", "deployments", "--output", "json"))["items"]
    assert len(left) == 2
    helm("uninstall", NAME)


def test_the_role_reaches_no_further_than_its_namespace(cluster: Cluster, installer: str) -> None:
    def may(verb: str, resource: str, *flags: str) -> bool:
        question = ["auth", "can-i", verb, resource, f"--as={installer}", *flags]
        return cluster.try_to("kubectl", *question).stdout.strip() == "yes"

    assert may("create", "deployments.apps")
    assert not may("create", "deployments.apps", "--namespace=default")
    for right in (("create", "customresourcedefinitions"), ("get", "nodes"), ("create", "clusterroles")):
        assert not may(*right)
    for right in (("escalate", "roles"), ("bind", "roles"), ("impersonate", "serviceaccounts")):
        assert not may(*right)
    assert not may("create", "pods", "--subresource=exec")


def test_without_definitions_and_rights_helm_says_what_is_missing(cluster: Cluster, installer: str) -> None:
    as_installer = f"--kube-as-user={installer}"
    refused = cluster.try_to("helm", as_installer, "install", NAME, str(CHART))
    assert 'cannot patch resource "customresourcedefinitions"' in refused.stderr
    cluster.run("kubectl", "delete", "rolebinding", "installer")
    refused = cluster.try_to("helm", as_installer, "install", NAME, str(CHART), "--skip-crds")
    assert "forbidden" in refused.stderr

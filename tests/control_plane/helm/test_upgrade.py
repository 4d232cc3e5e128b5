"""Helm goes from the chart of the release before this version to this chart, and back."""

import json
from typing import Any

import releases
from control_plane.helm.release import CHART, NAME, Cluster

SET = (
    "--set",
    "gateway.replicas=3",
    "--set",
    "operator.extraEnv[0].name=MINE",
    "--set",
    "operator.extraEnv[0].value=kept",
)


def installed(cluster: Cluster) -> dict[str, Any]:
    """Number of gateways and environment of operators, by what Helm calls the chart."""
    found = json.loads(cluster.run("kubectl", "get", "deployments", "--output", "json"))["items"]
    gateway, operator = sorted(found, key=lambda item: item["metadata"]["name"])
    [container] = operator["spec"]["template"]["spec"]["containers"]
    [mine] = [entry["value"] for entry in container["env"] if entry["name"] == "MINE"]
    return {gateway["metadata"]["labels"]["helm.sh/chart"]: (gateway["spec"]["replicas"], mine)}


def test_an_upgrade_and_a_rollback_keep_values_and_keys(cluster: Cluster) -> None:
    former, present = f"{NAME}-{releases.VERSION}", f"{NAME}-{version()}"
    # Other tests have applied theirs as kubectl, with which Helm would have a conflict.
    definitions = [each["metadata"]["name"] for each in releases.definitions()]
    cluster.run("kubectl", "delete", "crd", "--ignore-not-found", *definitions)
    cluster.run("helm", "install", NAME, str(releases.CHART), *SET)
    assert installed(cluster) == {former: (3, "kept")}
    keys, naming = cluster.keys(), cluster.entries(f"{NAME}-naming-key")

    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", str(CHART / "crds"))
    assert cluster.run("kubectl", *apply).count("serverside-applied") == len(list((CHART / "crds").iterdir()))
    cluster.run("helm", "upgrade", NAME, str(CHART), "--reset-then-reuse-values")
    assert installed(cluster) == {present: (3, "kept")}
    assert (cluster.keys(), cluster.entries(f"{NAME}-naming-key")) == (keys, naming)
    notes = cluster.run("helm", "get", "notes", NAME)
    assert "run the same `helm upgrade`" not in notes, "the release uses the naming key already"

    cluster.run("helm", "rollback", NAME)
    assert installed(cluster) == {former: (3, "kept")}
    assert (cluster.keys(), cluster.entries(f"{NAME}-naming-key")) == (keys, naming)


def version() -> str:
    """That of this chart."""
    [line] = [line for line in (CHART / "Chart.yaml").read_text().splitlines() if line.startswith("version: ")]
    return line.removeprefix("version: ")

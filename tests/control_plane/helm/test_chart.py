"""The chart on a real API server that knows nothing of the project yet."""

import base64
import json
import re
import secrets
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from control_plane.helm.release import CHART, NAME, Cluster
from local_cluster.build import ensure
from local_cluster.control_plane import ControlPlane
from local_cluster.progress import Progress
from reachability.ends import NAMESPACE, VALUES
from reachability.page import page
from reachability.rendering import PAGE
from sandbox_common.keys import api_key_hash
from sandbox_crds.api import EGRESS_LABEL
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders.pod import build_pod

OPERATOR, GATEWAY = (f"{NAME}-{process}" for process in ("operator", "gateway"))


def test_one_command_installs_crds_and_what_is_made_of_them(cluster: Cluster) -> None:
    cluster.run("kubectl", "delete", "crd", "--ignore-not-found", "sandboxes.sandbox.openhands.dev")
    cluster.run("kubectl", "delete", "crd", "--ignore-not-found", "sandboxclasses.sandbox.openhands.dev")
    cluster.run("kubectl", "delete", "crd", "--ignore-not-found", "sandboxpools.sandbox.openhands.dev")
    notes = cluster.install()
    assert "kubectl apply --server-side" not in notes, "advice for upgrades"
    sandbox_class = json.loads(cluster.run("kubectl", "get", "ohsc", "default", "--output", "json"))
    assert sandbox_class["spec"]["runtimeClasses"] == {"sysbox-runc": ""}
    assert sandbox_class["spec"]["startupTimeoutSeconds"] == 300, "the CRD's default"


def test_the_api_server_takes_every_value(cluster: Cluster) -> None:
    values = Path(__file__).parents[2] / "unit" / "helm" / "golden" / "everything.values.yaml"
    cluster.install("--values", str(values))
    assert set(cluster.run("kubectl", "get", "ohsc", "--output", "name").split()) == {
        "sandboxclass.sandbox.openhands.dev/bare",
        "sandboxclass.sandbox.openhands.dev/any-image",
        "sandboxclass.sandbox.openhands.dev/persistent",
    }
    assert set(cluster.run("kubectl", "get", "ohsp", "--output", "name").split()) == {
        "sandboxpool.sandbox.openhands.dev/least",
        "sandboxpool.sandbox.openhands.dev/most",
    }


def test_without_the_prometheus_operator_helm_names_what_is_missing(control_plane: ControlPlane) -> None:
    shared = Cluster(control_plane.kubeconfig, "default")
    values = ("--skip-crds", "--dry-run=server", "--set", "monitoring.podMonitor.enabled=true")
    refused = shared.try_to("helm", "install", NAME, str(CHART), *values)
    assert 'no matches for kind "PodMonitor" in version "monitoring.coreos.com/v1"' in refused.stderr


def test_an_upgrade_keeps_the_size_that_kubectl_gave_a_pool(cluster: Cluster) -> None:
    def pool() -> dict[str, Any]:
        return json.loads(cluster.run("kubectl", "get", "ohsp", "a-pool", "--output", "json"))["spec"]

    cluster.install("--set", "sandboxPools.a-pool.image=agent:1")
    assert pool()["replicas"] == 1
    cluster.run("kubectl", "scale", "ohsp", "a-pool", "--replicas=7")
    cluster.install("--set", "sandboxPools.a-pool.image=agent:2")
    assert (pool()["image"], pool()["replicas"]) == ("agent:2", 7)
    sized = ("--set", "sandboxPools.a-pool.image=agent:2", "--set", "sandboxPools.a-pool.replicas=3")
    cluster.install(*sized)
    assert pool()["replicas"] == 3
    cluster.run("kubectl", "scale", "ohsp", "a-pool", "--replicas=7")
    refused = cluster.try_to("helm", "upgrade", "--install", NAME, str(CHART), *sized)
    assert (refused.returncode != 0, ".spec.replicas" in refused.stderr, pool()["replicas"]) == (True, True, 7)
    cluster.install(*sized, "--force-conflicts")
    assert pool()["replicas"] == 3
    cluster.install("--set", "sandboxPools.a-pool=null")
    assert cluster.run("kubectl", "get", "ohsp", "--output", "name") == ""


def test_an_upgrade_keeps_the_keys(cluster: Cluster) -> None:
    cluster.install()
    before = cluster.keys()
    notes = cluster.install("--set", "gateway.replicas=3", "--set", "apiKey.owner=somebody")
    assert cluster.keys() == before
    assert cluster.entries(f"{NAME}-api-key-hash")["owner"] == "somebody"
    assert "kubectl apply --server-side" in notes


def sources_of_the_gateway(cluster: Cluster) -> list[str]:
    """The Secrets in its directory of keys."""
    found = json.loads(cluster.run("kubectl", "get", "deployment", f"{NAME}-gateway", "--output", "json"))
    [volume] = [one for one in found["spec"]["template"]["spec"]["volumes"] if one["name"] == "master-key"]
    return [source["secret"]["name"] for source in volume["projected"]["sources"]]


def earlier_chart(directory: Path) -> Path:
    """The chart as it was before there was a naming key, in this respect."""
    chart = shutil.copytree(CHART, directory / "chart")
    (chart / "templates" / "naming-key.yaml").unlink()
    deployment = chart / "templates" / "gateway" / "deployment.yaml"
    secret = 'secretName: {{ include "openhands-sandbox.masterKeySecret" . }}'
    mount = f"        - name: master-key\n          secret:\n            {secret}\n"
    text, changed = re.subn(r" {8}- name: master-key\n {10}projected:\n(?: {12}.*\n)+", mount, deployment.read_text())
    assert changed == 1
    deployment.write_text(text)
    return chart


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_gateways_use_the_naming_key_once_none_runs_that_does_not_know_it(
    cluster: Cluster, helm: str, tmp_path: Path
) -> None:
    ensure([helm], Progress())
    cluster = replace(cluster, helm=helm)
    earlier, naming = earlier_chart(tmp_path), f"{NAME}-naming-key"
    cluster.run(helm, "install", NAME, str(earlier))
    assert "run the same `helm upgrade` once" in cluster.install()
    assert sources_of_the_gateway(cluster) == [f"{NAME}-master-key"]
    key = cluster.entries(naming)
    assert "run the same `helm upgrade` once" not in cluster.install()
    assert sources_of_the_gateway(cluster) == [f"{NAME}-master-key", naming]
    # The key outlives a rollback to the earlier chart, whose gateways do not know keyed names, and so does the order.
    cluster.run(helm, "rollback", NAME, "1")
    cluster.install()
    assert sources_of_the_gateway(cluster) == [f"{NAME}-master-key"]
    assert cluster.entries(naming) == key


def test_an_own_master_key_may_hold_the_naming_key(cluster: Cluster) -> None:
    mine = ("--set", "masterKey.existingSecret=mine")
    cluster.run("kubectl", "create", "secret", "generic", "mine", f"--from-literal=v1={'1' * 32}")
    assert "add an entry naming-key" in cluster.install(*mine)
    assert sources_of_the_gateway(cluster) == ["mine"]
    assert f"{NAME}-naming-key" not in cluster.run("kubectl", "get", "secrets", "--output", "name")
    added = json.dumps({"stringData": {"naming-key": "n" * 32}})
    cluster.run("kubectl", "patch", "secret", "mine", "--patch", added)
    assert "naming-key" not in cluster.install(*mine)


def test_versions_of_the_master_key_stay(cluster: Cluster) -> None:
    cluster.install()
    v1 = cluster.keys()[0]["v1"]
    v2 = base64.b64encode(b"2" * 64).decode()
    cluster.run("kubectl", "patch", "secret", f"{NAME}-master-key", "--patch", json.dumps({"data": {"v2": v2}}))
    cluster.install()
    assert cluster.keys()[0] == {"v1": v1, "v2": "2" * 64}
    # An old version may go, and does not come back.
    gone = json.dumps({"data": {"v1": None}})
    cluster.run("kubectl", "patch", "secret", f"{NAME}-master-key", "--patch", gone)
    cluster.install()
    assert cluster.keys()[0] == {"v2": "2" * 64}


def test_a_new_install_takes_up_the_master_key(cluster: Cluster) -> None:
    cluster.install()
    master, api_key = cluster.keys()
    cluster.run("helm", "uninstall", NAME)
    left = cluster.run("kubectl", "get", "secrets", "--output", "name").split()
    assert left == [f"secret/{NAME}-master-key", f"secret/{NAME}-naming-key"]
    naming = cluster.entries(f"{NAME}-naming-key")
    cluster.install()
    master_again, api_key_again = cluster.keys()
    assert (master_again, cluster.entries(f"{NAME}-naming-key")) == (master, naming)
    assert api_key_again != api_key


def test_a_deleted_api_key_is_replaced(cluster: Cluster) -> None:
    cluster.install()
    master, api_key = cluster.keys()
    cluster.run("kubectl", "delete", "secret", f"{NAME}-api-key")
    cluster.install()
    master_again, api_key_again = cluster.keys()
    assert master_again == master
    assert api_key_again != api_key


def test_an_own_api_key_secret_is_read(cluster: Cluster) -> None:
    missing = cluster.try_to("helm", "install", NAME, str(CHART), "--set", "apiKey.existingSecret=mine")
    assert missing.returncode != 0
    assert "apiKey.existingSecret: there is no Secret mine" in missing.stderr
    cluster.run("kubectl", "create", "secret", "generic", "mine", "--from-literal=api-key=my-own-key\n")
    cluster.install("--set", "apiKey.existingSecret=mine")
    assert cluster.entries(f"{NAME}-api-key-hash")["sha256"] == api_key_hash("my-own-key")
    assert cluster.try_to("kubectl", "get", "secret", f"{NAME}-api-key").returncode != 0


def test_a_server_side_dry_run_writes_nothing(cluster: Cluster) -> None:
    cluster.run("helm", "install", NAME, str(CHART), "--dry-run=server")
    assert cluster.run("kubectl", "get", "secrets,deployments", "--output", "name") == ""


ADDED: dict[str, Any] = {
    "topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}],
    "caBundle": {"configMapName": "company-ca"},
    "volumes": [
        {"name": "data", "mountPath": "/data", "persistentVolumeClaim": {"claimName": "datasets"}},
        {"name": "settings", "mountPath": "/etc/settings", "secret": {"secretName": "settings", "optional": True}},
        {"name": "cache", "mountPath": "/cache", "readOnly": False, "emptyDir": {"sizeLimit": "1Gi"}},
    ],
    "sidecars": [
        {
            "name": "proxy",
            "image": "registry.example/proxy:1",
            "env": [{"name": "LEVEL", "value": "info"}],
            "limits": {"memory": "64Mi"},
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        }
    ],
}
"""What a class can add to pods within `restricted`."""


def admit(cluster: Cluster, pod: dict[str, Any]) -> dict[str, Any]:
    """The pod as the API server would store it."""
    return json.loads(
        cluster.run("kubectl", "create", "--dry-run=server", "--output=json", "-f", "-", stdin=json.dumps(pod))
    )


def sandbox_pod(cluster: Cluster, **overlay: object) -> dict[str, Any]:
    """The pod of a sandbox of the chart's class `default`, as the operator makes it, with changes of `spec.pod`."""
    stored = json.loads(cluster.run("kubectl", "get", "ohsc", "default", "--output", "json"))
    stored["spec"]["pod"] |= overlay
    metadata = {"name": "one", "namespace": cluster.namespace, "uid": str(uuid.uuid4())}
    sandbox = Sandbox.model_validate({"metadata": metadata, "spec": {"image": "agent:1"}})
    return dict(build_pod(sandbox, SandboxClass.model_validate(stored)))


def test_pod_security_admits_sandboxes(cluster: Cluster) -> None:
    cluster.install()
    made = admit(cluster, sandbox_pod(cluster))
    sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in made["spec"]["volumes"]}
    assert sizes == {"workspace": "10Gi", "tmp": "8Gi", "home": "8Gi"}
    assert "hostUsers" not in made["spec"]
    assert made["metadata"]["labels"][EGRESS_LABEL] == "Internet"
    added = admit(cluster, sandbox_pod(cluster, **ADDED))["spec"]
    assert [container["name"] for container in added["initContainers"]] == ["proxy"]
    # The control: what the class can ask for beyond `restricted` is refused here.
    of_node = [{"name": "of-node", "mountPath": "/of-node", "hostPath": {"path": "/var"}}]
    for beyond in ({"allowPrivilegeEscalation": True}, {"allowHostPath": True, "volumes": of_node}):
        body = json.dumps(sandbox_pod(cluster, **beyond))
        refused = cluster.try_to("kubectl", "create", "--dry-run=server", "-f", "-", stdin=body)
        assert "violates PodSecurity" in refused.stderr


@pytest.mark.kubernetes(since="1.33")
def test_pod_security_admits_sandboxes_with_and_without_user_namespaces(cluster: Cluster) -> None:
    cluster.install()
    for host_users in (False, True):
        assert admit(cluster, sandbox_pod(cluster, hostUsers=host_users))["spec"]["hostUsers"] is host_users


def test_the_policies_of_the_api_server_are_those_of_the_page(bare: ControlPlane) -> None:
    ensure(["cyclonus"], Progress())
    cluster = Cluster(bare.kubeconfig, NAMESPACE)
    cluster.run("helm", "install", NAME, str(CHART), "--create-namespace", "--set-json", json.dumps(VALUES))
    deployments, policies = (
        json.loads(cluster.run("kubectl", "get", kind, "--output", "json"))["items"]
        for kind in ("deployments", "networkpolicies")
    )
    assert PAGE.read_text() == page(deployments, policies)
    cluster.run("kubectl", "delete", "namespace", NAMESPACE, "--wait=false")


def test_pod_security_admits_the_pods(cluster: Cluster) -> None:
    cluster.install()
    deployments = json.loads(cluster.run("kubectl", "get", "deployments", "--output", "json"))["items"]
    hooks = cluster.run("helm", "get", "hooks", NAME)
    templates = [item["spec"]["template"] for item in deployments]
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}"}, "spec": template["spec"]}
        for number, template in enumerate(templates)
    ]
    assert len(pods) == 2
    for pod in pods:
        cluster.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    cluster.run("kubectl", "create", "--dry-run=server", "-f", "-", stdin=hooks)
    # The control: a pod that asks for more is refused here.
    cast("dict[str, Any]", pods[0]["spec"])["hostNetwork"] = True
    refused = cluster.try_to("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pods[0]))
    assert "violates PodSecurity" in refused.stderr


RIGHTS = [
    (OPERATOR, "create", "pods", True),
    (OPERATOR, "patch", "pods", True),
    (OPERATOR, "patch", "sandboxpools.sandbox.openhands.dev/status", True),
    (OPERATOR, "patch", "sandboxpools.sandbox.openhands.dev", False),
    (OPERATOR, "patch", "sandboximages.sandbox.openhands.dev/status", True),
    (OPERATOR, "patch", "sandboximages.sandbox.openhands.dev", False),
    (OPERATOR, "create", "leases.coordination.k8s.io", True),
    (OPERATOR, "patch", "leases.coordination.k8s.io", False),
    (OPERATOR, "patch", "sandboxes.sandbox.openhands.dev/status", True),
    (OPERATOR, "patch", "sandboxes.sandbox.openhands.dev", True),
    (OPERATOR, "create", "sandboxes.sandbox.openhands.dev", False),
    (OPERATOR, "list", "events.events.k8s.io", True),
    (OPERATOR, "watch", "events.events.k8s.io", True),
    (OPERATOR, "get", "secrets", True),
    (OPERATOR, "list", "secrets", True),
    (OPERATOR, "update", "secrets", False),
    (OPERATOR, "create", "pods/exec", False),
    (OPERATOR, "create", "sandboxusages.sandbox.openhands.dev", True),
    (GATEWAY, "get", "sandboxusages.sandbox.openhands.dev", True),
    (GATEWAY, "list", "sandboxusages.sandbox.openhands.dev", False),
    (GATEWAY, "patch", "sandboxusages.sandbox.openhands.dev", False),
    (GATEWAY, "delete", "sandboxes.sandbox.openhands.dev", True),
    (GATEWAY, "patch", "sandboxes.sandbox.openhands.dev/status", False),
    (GATEWAY, "list", "secrets", True),
    (GATEWAY, "get", "secrets", False),
    (GATEWAY, "delete", "secrets", False),
    (GATEWAY, "get", "pods", True),
    (GATEWAY, "list", "pods", False),
    (GATEWAY, "get", "pods/log", True),
    (GATEWAY, "create", "pods/exec", False),
    (GATEWAY, "create", "pods", False),
]


@pytest.fixture(scope="module")
def installed(bare: ControlPlane) -> Iterator[Cluster]:
    """One release for all questions about rights."""
    cluster = Cluster(bare.kubeconfig, f"test-{secrets.token_hex(4)}")
    cluster.install("--create-namespace")
    yield cluster
    cluster.run("kubectl", "delete", "namespace", cluster.namespace, "--wait=false")


@pytest.mark.parametrize(("account", "verb", "resource", "allowed"), RIGHTS)
def test_the_api_server_grants_these_rights(
    installed: Cluster, account: str, verb: str, resource: str, allowed: bool
) -> None:
    name, _, subresource = resource.partition("/")
    question = ["auth", "can-i", verb, name, f"--as=system:serviceaccount:{installed.namespace}:{account}"]
    if subresource:
        question.append(f"--subresource={subresource}")
    assert installed.try_to("kubectl", *question).stdout.strip() == ("yes" if allowed else "no")
    assert installed.try_to("kubectl", *question, "--namespace=default").stdout.strip() == "no"


def test_the_crds_are_upgraded_as_the_chart_says(cluster: Cluster) -> None:
    cluster.install()
    # An older chart's CRD, as far as this field goes.
    older = json.dumps({"spec": {"names": {"shortNames": ["old"]}}})
    cluster.run("kubectl", "patch", "crd", "sandboxes.sandbox.openhands.dev", "--type=merge", "--patch", older)
    cluster.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(CHART / "crds"))
    names = json.loads(cluster.run("kubectl", "get", "crd", "sandboxes.sandbox.openhands.dev", "--output", "json"))
    assert names["spec"]["names"]["shortNames"] == ["ohsb"]

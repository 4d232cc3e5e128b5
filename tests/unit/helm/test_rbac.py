"""What operator and gateway may do: exactly this, in their own namespace."""

from pathlib import Path

import pytest
import yaml

from unit.helm.rendering import NAMESPACE, PREFIX, Helm, Manifest, find

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = {
    "operator": {
        ("sandbox.openhands.dev", "sandboxes"): {"get", "list", "watch", "patch", "delete"},
        ("sandbox.openhands.dev", "sandboxclasses"): {"list", "watch"},
        ("sandbox.openhands.dev", "sandboximages"): {"list", "watch"},
        ("sandbox.openhands.dev", "sandboximages/status"): {"patch"},
        ("sandbox.openhands.dev", "sandboxpools"): {"list", "watch"},
        ("sandbox.openhands.dev", "sandboxusages"): {"get", "list", "create", "patch", "delete"},
        ("sandbox.openhands.dev", "sandboxes/status"): {"patch"},
        ("sandbox.openhands.dev", "sandboxpools/status"): {"patch"},
        ("", "pods"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "secrets"): {"get", "list", "watch", "create", "delete"},
        ("", "persistentvolumeclaims"): {"get", "create", "patch"},
        ("", "services"): {"get", "list", "watch", "create", "delete"},
        ("events.k8s.io", "events"): {"list", "watch", "create"},
        ("coordination.k8s.io", "leases"): {"create"},
        ("coordination.k8s.io", f"leases {PREFIX}-operator"): {"get", "list", "watch", "patch"},
    },
    "gateway": {
        ("sandbox.openhands.dev", "sandboxes"): {"get", "list", "watch", "create", "patch", "delete"},
        ("sandbox.openhands.dev", "sandboxclasses"): {"list", "watch"},
        ("sandbox.openhands.dev", "sandboxpools"): {"list", "watch"},
        ("sandbox.openhands.dev", "sandboxusages"): {"get"},
        ("events.k8s.io", "events"): {"list", "create"},
        ("", "pods"): {"get"},
        ("", "pods/log"): {"get"},
        ("", "secrets"): {"list", "watch", "create"},
    },
}


def granted(role: Manifest) -> dict[tuple[str, str], set[str]]:
    rights: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in (" ".join([name, *rule.get("resourceNames", [])]) for name in rule["resources"]):
                rights.setdefault((group, resource), set()).update(rule["verbs"])
    return rights


def test_the_rights_are_exactly_these(defaults: list[Manifest]) -> None:
    for component, expected in EXPECTED.items():
        assert granted(find(defaults, "Role", component)) == expected
    assert len([item for item in defaults if item["kind"] == "Role"]) == len(EXPECTED)


def test_nothing_is_cluster_wide(defaults: list[Manifest]) -> None:
    kinds = {item["kind"] for item in defaults}
    assert not {kind for kind in kinds if kind.startswith("Cluster")}
    assert {item["metadata"].get("namespace") for item in defaults} == {NAMESPACE}
    assert "*" not in str([item["rules"] for item in defaults if item["kind"] == "Role"])


def test_only_the_nodes_are_cluster_wide_and_only_where_that_is_wanted(helm: Helm) -> None:
    rendered = helm.render({"operator": {"readNodes": True}})
    wide = {item["kind"]: item for item in rendered if item["kind"].startswith("Cluster")}
    assert wide.keys() == {"ClusterRole", "ClusterRoleBinding"}
    assert granted(wide["ClusterRole"]) == {("", "nodes"): {"list", "watch"}}
    # Two releases of the same name in two namespaces do not take each other's.
    name = f"{PREFIX}-operator.{NAMESPACE}"
    assert {item["metadata"]["name"] for item in wide.values()} == {name}
    binding = wide["ClusterRoleBinding"]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    account = {"kind": "ServiceAccount", "name": f"{PREFIX}-operator", "namespace": NAMESPACE}
    assert binding["subjects"] == [account]
    [container] = find(rendered, "Deployment", "operator")["spec"]["template"]["spec"]["containers"]
    assert {"name": "SANDBOX_OPERATOR_READ_NODES", "value": "true"} in container["env"]


def test_values_of_a_chart_without_the_key_keep_all_in_the_namespace(helm: Helm) -> None:
    assert not [item for item in helm.render({"operator": {"readNodes": None}}) if item["kind"].startswith("Cluster")]


@pytest.mark.parametrize("case", ["defaults", "everything"])
def test_no_role_reaches_beyond_the_namespace(case: str) -> None:
    rendered: list[Manifest] = list(yaml.safe_load_all((GOLDEN / f"{case}.yaml").read_text()))
    assert not [item for item in rendered if item["kind"] in {"ClusterRole", "ClusterRoleBinding"}]
    bindings = [item for item in rendered if item["kind"] == "RoleBinding"]
    assert bindings
    assert {binding["roleRef"]["kind"] for binding in bindings} == {"Role"}


def test_each_process_has_its_own_account(defaults: list[Manifest]) -> None:
    for component in EXPECTED:
        name = f"{PREFIX}-{component}"
        binding = find(defaults, "RoleBinding", component)
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]
        assert find(defaults, "ServiceAccount", component)["automountServiceAccountToken"] is False
        assert find(defaults, "Deployment", component)["spec"]["template"]["spec"]["serviceAccountName"] == name

"""Granted and used rights, both ways."""

from typing import Any

import pytest

from cluster.rights import Comparison, Right, compare, granted, requests

ACCOUNT = "a-gateway"


def role(*rules: dict[str, Any], name: str = "r") -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": list(rules)}


def rule(group: str, resources: list[str], verbs: list[str], **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs, **more}


def binding(account: str = ACCOUNT, name: str = "r", kind: str = "RoleBinding") -> dict[str, Any]:
    return {"kind": kind, "roleRef": {"name": name}, "subjects": [{"kind": "ServiceAccount", "name": account}]}


def event(verb: str, resource: str, *, code: int = 200, namespace: str = "t", **changed: Any) -> dict[str, Any]:
    """A line of the audit log."""
    target = {"resource": resource, "namespace": namespace, **changed.pop("target", {})}
    return {
        "verb": verb,
        "user": {"username": changed.pop("user", f"system:serviceaccount:{namespace}:{ACCOUNT}")},
        "objectRef": changed.pop("ref", target),
        "responseStatus": {"code": code},
        "annotations": {"authorization.k8s.io/decision": changed.pop("decision", "allow")},
    }


def compared(rights: set[Right], *events: dict[str, Any]) -> Comparison:
    return compare(rights, requests(events, {ACCOUNT}, "t"))


def test_rights_are_those_of_the_accounts_roles() -> None:
    roles = [
        role(rule("", ["pods", "pods/log"], ["get", "list"]), rule("g", ["leases"], ["get"], resourceNames=["x", "y"])),
        role(rule("", ["secrets"], ["get"]), name="of-nobody"),
    ]
    assert granted([binding()], roles) == {
        Right(ACCOUNT, "", "pods", "get"),
        Right(ACCOUNT, "", "pods", "list"),
        Right(ACCOUNT, "", "pods/log", "get"),
        Right(ACCOUNT, "", "pods/log", "list"),
        Right(ACCOUNT, "g", "leases", "get", "x"),
        Right(ACCOUNT, "g", "leases", "get", "y"),
    }


def test_a_right_outside_of_namespaces_is_another_one() -> None:
    roles = [role(rule("", ["nodes"], ["list"]))]
    [right] = granted([binding(kind="ClusterRoleBinding")], roles)
    assert right == Right(ACCOUNT, "", "nodes", "list", everywhere=True)
    there = event("list", "nodes", ref={"resource": "nodes"})
    assert compared({right}, there) == Comparison([], [], [])
    [narrow] = granted([binding()], roles)
    assert compared({narrow}, there).not_granted == [f"{ACCOUNT} list nodes everywhere"]


@pytest.mark.parametrize("wild", [rule("*", ["pods"], ["get"]), rule("", ["*"], ["get"]), rule("", ["pods"], ["*"])])
def test_a_wildcard_is_refused(wild: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wildcard"):
        granted([binding()], [role(wild)])


def test_what_is_used_and_granted_is_well() -> None:
    rights = {
        Right(ACCOUNT, "", "pods", "create"),
        Right(ACCOUNT, "g", "leases", "patch", "x"),
        Right(ACCOUNT, "g", "sandboxes/status", "patch"),
    }
    assert compared(
        rights,
        event("create", "pods", code=409),
        event("patch", "leases", target={"apiGroup": "g", "name": "x"}),
        event("patch", "sandboxes", target={"apiGroup": "g", "name": "s", "subresource": "status"}),
        event("get", "", ref=None),
    ) == Comparison([], [], [])


def test_an_unused_right_is_named() -> None:
    right, other = Right(ACCOUNT, "", "pods", "get"), Right("a-operator", "", "pods", "get")
    assert compared({right, other}, event("get", "pods")).unused == [other]
    narrow = Right(ACCOUNT, "g", "leases", "get", "x")
    found = compared({narrow}, event("get", "leases", target={"apiGroup": "g", "name": "y"}))
    assert (found.unused, found.not_granted) == ([narrow], [f"{ACCOUNT} get leases.g y"])


@pytest.mark.parametrize(
    "other",
    [
        event("list", "pods"),
        event("get", "pods", target={"subresource": "log"}),
        event("get", "pods", target={"apiGroup": "metrics.k8s.io"}),
        event("get", "pods", target={"namespace": "another"}),
        event("get", "pods", user="system:serviceaccount:t:default"),
        event("get", "pods", namespace="other-t"),
        event("get", "pods", user="kubernetes-admin"),
        event("get", "pods", decision="forbid", code=403),
    ],
)
def test_what_is_no_use_of_a_right(other: dict[str, Any]) -> None:
    right = Right(ACCOUNT, "", "pods", "get")
    assert compared({right}, other).unused == [right]


def test_a_refusal_is_named() -> None:
    found = compared(set(), event("get", "pods", code=403, decision="forbid"))
    assert (found.refused, found.not_granted) == ([f"{ACCOUNT} get pods"], [])


def test_a_refusal_of_what_is_granted_is_of_an_api_server_that_starts() -> None:
    right = Right(ACCOUNT, "", "pods", "get")
    refusal = event("get", "pods", code=403, decision="forbid")
    assert compared({right}, refusal, event("get", "pods")) == Comparison([], [], [])
    assert compared({right}, refusal) == Comparison([], [right], [])


def test_a_quotas_refusal_is_none_of_rights() -> None:
    assert compared({Right(ACCOUNT, "", "pods", "create")}, event("create", "pods", code=403)) == Comparison([], [], [])


def test_what_somebody_else_has_granted_is_named() -> None:
    assert compared(set(), event("get", "nodes", target={"namespace": "x"})).not_granted == [
        f"{ACCOUNT} get nodes in x",
    ]


def test_what_everybody_may_ask_needs_no_right() -> None:
    review = {"resource": "selfsubjectreviews", "apiGroup": "authentication.k8s.io"}
    assert compared(set(), event("create", "selfsubjectreviews", ref=review)).not_granted == []


def test_refusals_at_a_namespaces_end_do_not_count() -> None:
    late = event("get", "pods", code=403, decision="forbid")

    def of_namespace(verb: str, **changed: Any) -> dict[str, Any]:
        return event(verb, "namespaces", user="kubernetes-admin", target={"name": "t", **changed})

    assert compared(set(), of_namespace("delete"), late).refused == []
    assert compared(set(), late, of_namespace("delete")).refused == [f"{ACCOUNT} get pods"]
    # A new namespace of the same name; its finalization is none.
    assert compared(set(), of_namespace("delete"), of_namespace("create"), late).refused != []
    assert compared(set(), of_namespace("delete"), of_namespace("patch", subresource="finalize"), late).refused == []

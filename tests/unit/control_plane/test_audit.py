"""Requests counted from the events of an audit log."""

from typing import Any

from control_plane.audit import tally


def event(verb: str, resource: str, code: int = 200, **changed: Any) -> dict[str, Any]:
    target = {"namespace": "n", "resource": resource, "name": "a", **changed.pop("target", {})}
    answered = {"stage": "ResponseComplete", "responseStatus": {"code": code}, "userAgent": "sandbox-operator"}
    return {**answered, "verb": verb, "objectRef": target, **changed}


def test_requests_are_counted_by_who_asked_and_for_what() -> None:
    logged = [
        event("create", "pods", 201),
        event("create", "pods", 201),
        event("patch", "sandboxes", target={"subresource": "status"}),
        event("create", "events", userAgent="kube-scheduler/v1.36.3 (linux/amd64)"),
        event("get", "secrets"),
    ]
    assert tally(logged, "n") == {
        ("sandbox-operator", "create pods"): 2,
        ("sandbox-operator", "patch sandboxes/status"): 1,
        ("kube-scheduler", "create events"): 1,
        ("sandbox-operator", "get secrets"): 1,
    }


def test_refusals_are_told_apart() -> None:
    assert tally([event("create", "pods", 409), event("create", "pods", 201)], "n") == {
        ("sandbox-operator", "create pods (409)"): 1,
        ("sandbox-operator", "create pods"): 1,
    }


def test_what_does_not_count() -> None:
    logged = [
        event("create", "pods", target={"namespace": "other"}),
        event("watch", "pods"),
        event("create", "pods", stage="RequestReceived"),
        event("create", "pods", objectRef=None),
    ]
    assert tally(logged, "n") == {}

"""Requests counted from lines of an audit log."""

import json
from typing import Any

from control_plane.audit import tally


def line(verb: str, resource: str, code: int = 200, **changed: Any) -> bytes:
    target = {"namespace": "n", "resource": resource, "name": "a", **changed.pop("target", {})}
    event = {"stage": "ResponseComplete", "verb": verb, "objectRef": target, "responseStatus": {"code": code}}
    return json.dumps({**event, "userAgent": "sandbox-operator", **changed}).encode() + b"\n"


def test_requests_are_counted_by_who_asked_and_for_what() -> None:
    lines = [
        line("create", "pods", 201),
        line("create", "pods", 201),
        line("patch", "sandboxes", target={"subresource": "status"}),
        line("create", "events", userAgent="kube-scheduler/v1.36.3 (linux/amd64)"),
        line("get", "secrets"),
    ]
    assert tally(lines, "n") == {
        ("sandbox-operator", "create pods"): 2,
        ("sandbox-operator", "patch sandboxes/status"): 1,
        ("kube-scheduler", "create events"): 1,
        ("sandbox-operator", "get secrets"): 1,
    }


def test_refusals_are_told_apart() -> None:
    assert tally([line("create", "pods", 409), line("create", "pods", 201)], "n") == {
        ("sandbox-operator", "create pods (409)"): 1,
        ("sandbox-operator", "create pods"): 1,
    }


def test_what_does_not_count() -> None:
    lines = [
        line("create", "pods", target={"namespace": "other"}),
        line("watch", "pods"),
        line("create", "pods", stage="RequestReceived"),
        line("create", "pods", objectRef=None),
        line("create", "pods")[:40],
        line("create", "pods").rstrip(b"\n"),
    ]
    assert tally(lines, "n") == {}

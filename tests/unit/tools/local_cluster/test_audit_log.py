"""An audit log that is read while it is written, and requests counted from its events."""

from pathlib import Path
from typing import Any

from local_cluster.audit_log import events, tally


def test_only_whole_lines_are_read_wherever_the_writer_is(tmp_path: Path) -> None:
    path, whole = tmp_path / "audit.log", '{"verb": "get"}\n{"verb": "läst"}\n'.encode()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        assert len([*events(path)]) == whole[:length].count(b"\n")


def test_events_are_chosen_by_where_they_stand_and_what_they_contain(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text('{"verb": "get"}\n')
    offset = path.stat().st_size
    path.write_text('{"verb": "get"}\n{"verb": "list"}\n{"verb": "get", "code": 200}\n')
    assert [*events(path, offset)] == [{"verb": "list"}, {"verb": "get", "code": 200}]
    assert [*events(path, offset, b'"get"')] == [{"verb": "get", "code": 200}]


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

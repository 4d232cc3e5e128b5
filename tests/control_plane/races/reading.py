"""What an answer tells about a session, and whether a client may get such an answer at all. Pure."""

from typing import Any

from control_plane.races.gateways import PUBLIC_URL, Answer
from control_plane.races.history import GONE, NOT_LIVE, UNKNOWN, Kind, Outcome, Told

_PAIRS = {("starting", "pending"), ("running", "ready"), ("paused", "not found"), ("error", "failed")}


def outcome_of(name: str, kind: Kind, answer: Answer | None, *, may_refuse: bool) -> Outcome:
    """What is told about the Sandbox of this name; `may_refuse` says whether the replica may say that it cannot now.

    Raises AssertionError for an answer that is not of the contract.
    """
    if answer is None:
        return UNKNOWN
    body = answer.body
    if answer.status != 200:
        assert isinstance(body["detail"], str)
        if answer.status == 404 and kind not in {"list", "start"}:
            return GONE
        assert kind == "visit" or may_refuse, "a replica that lives says no such thing"
        # It may have woken the sandbox nevertheless.
        assert answer.status in {502, 503}
        return UNKNOWN
    match kind:
        case "visit":
            return Told(body["session_api_key"])
        case "stop":
            assert (body["runtime_id"], body["status"]) == (name, "stopped")
            return GONE
        case "list":
            assert body["total"] == len(body["runtimes"])
            entry = next((entry for entry in body["runtimes"] if entry["runtime_id"] == name), None)
            assert entry is None or entry["status"] in {"starting", "running"}
            return _told(name, entry) if entry else NOT_LIVE
        case _:
            return _told(name, body)


def is_ready(answer: Answer | None) -> bool:
    """Whether a sandbox is told to be ready."""
    return answer is not None and answer.status == 200 and answer.body.get("pod_status") == "ready"


def is_failed(answer: Answer | None) -> bool:
    """Whether a sandbox is reported as failed."""
    return answer is not None and answer.status == 200 and answer.body.get("pod_status") == "failed"


def words(answer: Answer | None) -> str:
    """For the reader of a failure."""
    if answer is None:
        return "not at all"
    return f"{answer.status} {answer.content.decode(errors='replace')} by process {answer.replica}"


def _told(name: str, body: dict[str, Any]) -> Told:
    assert body["runtime_id"] == name
    assert {field for field, value in body.items() if value is None} <= {"status_detail"}
    assert (body["status"], body["pod_status"]) in _PAIRS
    assert body["url"] == PUBLIC_URL
    return Told(body["session_api_key"], body["status"] == "paused")

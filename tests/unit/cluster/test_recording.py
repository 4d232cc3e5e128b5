"""A key that is planted anywhere in what a run leaves is found, also in logs that are gone."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from cluster.recording import Record
from local_cluster.paths import State
from sandbox_common.keys import MasterKeys

MASTER = "m" * 20 + "n" * 20
KEYS = MasterKeys.of({1: MASTER.encode()})
KEY = KEYS.session_key(KEYS.key_id("uid"))


def secret(name: str, **data: str) -> dict[str, Any]:
    encoded = {entry: base64.b64encode(value.encode()).decode() for entry, value in data.items()}
    return {"metadata": {"name": name, "namespace": "t-one"}, "data": encoded}


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    (state.logs / "pods").mkdir(parents=True)
    return state


@pytest.fixture
def record(state: State) -> Record:
    record = Record(state, "t")
    record.learn(secret("sb-a", OH_SESSION_API_KEYS_0=KEY))
    record.learn(secret("openhands-sandbox-master-key", v1=MASTER))
    return record


def write_log(state: State, text: str, pod: str = "t-one_sb-a_uid") -> Path:
    path = state.logs / "pods" / pod / "agent-server" / "0.log"
    path.parent.mkdir(parents=True)
    path.write_text(f"2026-01-01T00:00:00Z stdout F {text}\n")
    return path


@pytest.mark.parametrize("what", ["pods", "events", "sandboxes", "metrics"])
def test_in_an_object(record: Record, what: str) -> None:
    record.note(what, {"metadata": {"annotations": {"a": f"said {KEY}"}}})
    record.note(what, {"metadata": {"annotations": {"a": "another state of it"}}})
    assert record.leaks() == [f"t-one/sb-a:OH_SESSION_API_KEYS_0 in {what}"]


def test_in_the_log_of_a_pod_that_is_gone(record: Record, state: State) -> None:
    path = write_log(state, "begins")
    record.logs.look()
    with path.open("a") as log:
        log.write(f"2026-01-01T00:00:00Z stderr F key {KEY}\n")
    path.unlink()
    record.logs.look()
    assert record.leaks() == ["t-one/sb-a:OH_SESSION_API_KEYS_0 in log pods/t-one_sb-a_uid/agent-server/0.log"]
    record.logs.close()
    assert not record.logs.directory.exists()


def test_in_each_of_the_files_of_a_rotated_log(record: Record, state: State) -> None:
    path = write_log(state, MASTER)
    record.logs.look()
    path.rename(path.with_name("0.log.20260101"))
    path.write_text(f"{KEYS.internal_token()}\n")
    record.logs.look()
    found = {text.partition(" in log ")[0] for text in record.leaks()}
    label = "t-one/openhands-sandbox-master-key:v1"
    assert found == {label, f"{label}, internal token"}


def test_logs_of_other_namespaces_are_not_looked_at(record: Record, state: State) -> None:
    write_log(state, KEY, "kube-system_coredns_uid")
    record.logs.look()
    assert record.leaks() == []


def test_the_audit_log_is_searched_whole_and_read_since_the_beginning(record: Record, state: State) -> None:
    now = datetime.now(UTC)
    times = [now - timedelta(seconds=5), now + timedelta(seconds=5)]
    events = [{"requestURI": f"/a?key={KEY}", "requestReceivedTimestamp": time.isoformat()} for time in times]
    lines = [orjson.dumps(event) for event in events]
    state.audit_log.write_bytes(b"\n".join([*lines, b'{"being": "writ']))
    record.logs.look()
    assert [event["requestReceivedTimestamp"] for event in record.audit()] == [times[1].isoformat()]
    assert record.leaks() == ["t-one/sb-a:OH_SESSION_API_KEYS_0 in log audit.log"]
    assert record.read() == {"logs of audit": 1}


def test_a_rotated_audit_log_is_read_in_its_order(record: Record, state: State) -> None:
    time = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    for number in range(3):
        state.audit_log.write_bytes(orjson.dumps({"verb": str(number), "requestReceivedTimestamp": time}) + b"\n")
        os.utime(state.audit_log, (number, number))
        record.logs.look()
        state.audit_log.rename(state.logs / f"audit-{9 - number}.log")
    record.logs.look()
    assert [event["verb"] for event in record.audit()] == ["0", "1", "2"]


def test_what_a_killed_run_has_kept_is_forgotten(record: Record, state: State) -> None:
    write_log(state, KEY)
    record.logs.look()
    assert list(Record(state, "t").logs.files()) == []

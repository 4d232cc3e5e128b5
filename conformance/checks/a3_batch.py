"""A3: GET /sessions/batch, with which the app lists its sandboxes."""

import uuid
from typing import Any

from conformance.api import RuntimeApi, as_list, as_object, text_of
from conformance.contract import Client, recommended, required
from conformance.sandbox import Sandbox


def batch(api: RuntimeApi, *session_ids: str) -> dict[str, dict[str, Any]]:
    """The entries by their session id, as the app sorts them; null stands for an unknown one."""
    answer = api.get("/sessions/batch", params=[("ids", session_id) for session_id in session_ids])
    assert answer.ok, answer
    entries = [as_object(entry, "an entry") for entry in as_list(answer.body, str(answer)) if entry is not None]
    return {text_of(entry, "session_id"): entry for entry in entries}


@required(Client.APP)
def test_known_sessions(api: RuntimeApi, sandbox: Sandbox, second: Sandbox) -> None:
    """app `_get_runtimes_batch`: a list; each entry has session_id, status and session_api_key."""
    found = batch(api, sandbox.session_id, second.session_id)
    assert set(found) == {sandbox.session_id, second.session_id}
    for known in (sandbox, second):
        assert text_of(found[known.session_id], "status") == "running"
        assert found[known.session_id].get("session_api_key") == known.session_api_key
        assert found[known.session_id].get("runtime_id") == known.runtime_id


@required(Client.APP)
def test_unknown_sessions_are_left_out(api: RuntimeApi, sandbox: Sandbox) -> None:
    """app: a session that is not in the list is MISSING; the others must come nevertheless."""
    assert set(batch(api, f"unknown-{uuid.uuid4()}", sandbox.session_id)) == {sandbox.session_id}


@recommended(Client.APP)
def test_entries_stand_where_their_ids_do(api: RuntimeApi, sandbox: Sandbox, second: Sandbox) -> None:
    """app, newer than 1.11.0: takes the entries of a list that is as long as its own by their places."""
    ids = [second.session_id, f"unknown-{uuid.uuid4()}", sandbox.session_id]
    answer = api.get("/sessions/batch", params=[("ids", session_id) for session_id in ids])
    entries = as_list(answer.body, str(answer))
    found = [None if entry is None else text_of(as_object(entry, "an entry"), "session_id") for entry in entries]
    assert len(found) != len(ids) or found == [ids[0], None, ids[2]]


@recommended(Client.APP)
def test_nothing_known(api: RuntimeApi) -> None:
    """app: `raise_for_status`, so that no entry at all must be an empty list rather than a 404."""
    assert not set(batch(api, f"unknown-{uuid.uuid4()}"))


@recommended(Client.APP)
def test_many_sessions(api: RuntimeApi, sandbox: Sandbox) -> None:
    """app: all sandboxes of a page in one URL; 16 KiB must pass."""
    unknown = [f"agent-server-{uuid.uuid4()}" for _ in range(300)]
    assert set(batch(api, *unknown, sandbox.session_id)) == {sandbox.session_id}


@required(Client.APP)
def test_another_owner_sees_none(other_api: RuntimeApi, sandbox: Sandbox) -> None:
    """app: takes what it finds for its own, with the session key in it."""
    assert not set(batch(other_api, sandbox.session_id))

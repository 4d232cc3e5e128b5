"""A7: POST /stop."""

import uuid
from typing import Any

from conformance.api import RuntimeApi
from conformance.contract import APP_SECONDS, Client, required
from conformance.sandbox import Attempt, Sandbox


@required(Client.SDK, Client.APP, Client.V0)
def test_stop_succeeds(stop: Attempt) -> None:
    """SDK `cleanup`: tries once, within 30 s; what is then still there runs on."""
    assert stop.answer.ok, stop.answer


@required(Client.APP)
def test_stop_answers_before_the_time_out(stop: Attempt) -> None:
    """app `delete_sandbox`: 15 s for every call."""
    assert stop.answer.seconds < APP_SECONDS, f"it took {stop.answer.seconds:.1f} s"


@required(Client.SDK, Client.APP)
def test_session_is_gone(stop: Attempt) -> None:
    """SDK: would attach to a session that is still reported as running or paused."""
    assert not stop.problem, stop.problem


@required(Client.APP)
def test_stop_once_more_is_no_error(api: RuntimeApi, stopped: Sandbox) -> None:
    """app `delete_sandbox`: 404 is success; after any other error it keeps the record and tries again."""
    answer = api.post("/stop", {"runtime_id": stopped.runtime_id})
    assert answer.ok or answer.status == 404, answer


@required(Client.APP)
def test_stop_of_an_unknown_one_is_no_error(api: RuntimeApi) -> None:
    """app `delete_sandbox`: as above."""
    answer = api.post("/stop", {"runtime_id": f"unknown-{uuid.uuid4().hex}"})
    assert answer.ok or answer.status == 404, answer


@required(Client.SDK)
def test_starting_sandbox_can_be_stopped(second_stop: Attempt) -> None:
    """SDK: any failure of its constructor stops the sandbox, in whatever state it is."""
    assert not second_stop.problem, second_stop.problem


@required(Client.SDK, Client.V0)
def test_session_can_be_started_again(api: RuntimeApi, stopped: Sandbox, start_body: dict[str, Any]) -> None:
    """SDK with a session_id of its own: starts the same session again after it was stopped."""
    assert stopped
    again = api.post("/start", start_body)
    try:
        assert again.fields.get("status") in {"starting", "running"}, again
    finally:
        if again.ok:
            api.post("/stop", {"runtime_id": again.fields.get("runtime_id") or again.fields.get("id")})

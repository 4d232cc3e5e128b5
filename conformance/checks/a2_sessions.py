"""A2: GET /sessions/{session_id}, the look whether a session is there, and every client's poll."""

import uuid
from typing import Any

from conformance.api import Exchange, RuntimeApi, as_list, text_of
from conformance.contract import APP_SECONDS, Blocked, Client, recommended, required
from conformance.sandbox import Attempt, Sandbox


def look(api: RuntimeApi, sandbox: Sandbox) -> dict[str, Any]:
    return api.get(f"/sessions/{sandbox.session_id}").fields


@required(Client.SDK, Client.APP, Client.V0)
def test_unknown_session_is_404(launch: Attempt) -> None:
    """SDK `_check_existing_runtime`: 404 means "start one", any other error ends the constructor."""
    assert launch.before is not None, launch.problem
    assert launch.before.status == 404, launch.before


@required(Client.SDK, Client.V0)
def test_session_names_its_sandbox(api: RuntimeApi, sandbox: Sandbox) -> None:
    """SDK, attaching to a running session: takes runtime_id (or id), url and session_api_key from here."""
    seen = look(api, sandbox)
    assert (seen.get("runtime_id") or seen.get("id")) == sandbox.runtime_id
    assert seen.get("url") == sandbox.url
    assert seen.get("session_api_key") == sandbox.session_api_key


@required(Client.SDK)
def test_pod_status_is_never_null(launch: Attempt) -> None:
    """SDK `_wait_until_runtime_alive_once`: `pod_status.lower()`; null ends the start with AttributeError."""
    for seen in launch.looks:
        assert isinstance(seen.get("pod_status"), str), f"pod_status is {seen.get('pod_status')!r}"


@required(Client.SDK)
def test_restart_count_is_never_null(launch: Attempt) -> None:
    """SDK: `restart_count > 0`, 0 when the field is missing; null ends the start with TypeError."""
    for seen in launch.looks:
        restarts = seen.get("restart_count", 0)
        assert isinstance(restarts, int), f"restart_count is {restarts!r}"


@recommended(Client.SDK, Client.BENCHMARKS)
def test_explanations_are_there(launch: Attempt) -> None:
    """SDK: logs restart_reasons, container_statuses and events; pod_logs goes into its error, which benchmarks read."""
    for seen in launch.looks:
        for name in ("restart_reasons", "container_statuses", "events"):
            as_list(seen.get(name), name)
        assert isinstance(seen.get("pod_logs"), str), f"pod_logs is {seen.get('pod_logs')!r}"


@required(Client.APP)
def test_status_and_key_are_text(launch: Attempt) -> None:
    """app `_get_runtime`: maps status and indexes session_api_key, at every poll."""
    for seen in launch.looks:
        text_of(seen, "status")
        text_of(seen, "session_api_key")


@required(Client.SDK)
def test_every_poll_of_a_start_succeeds(launch: Attempt) -> None:
    """SDK: one answer that is no 2xx ends the start; tenacity retries RuntimeError only."""
    if not launch.polls:
        raise Blocked(launch.problem)
    for seen in launch.polls:
        assert seen.ok, seen


@required(Client.APP)
def test_polls_end_before_the_time_out(launch: Attempt) -> None:
    """app: 15 s for every call, so a poll may be held, but not for longer."""
    if not launch.polls:
        raise Blocked(launch.problem)
    for seen in launch.polls:
        assert seen.seconds < APP_SECONDS, f"{seen} took {seen.seconds:.1f} s"


@required(Client.APP)
def test_session_ids_are_case_sensitive(api: RuntimeApi, second: Sandbox) -> None:
    """app: session ids are base62, so two may differ in case only."""
    assert api.get(f"/sessions/{second.session_id}").ok
    swapped = api.get(f"/sessions/{second.session_id.swapcase()}")
    assert swapped.status == 404, swapped


@recommended(Client.SAAS)
def test_session_id_comes_back(api: RuntimeApi, sandbox: Sandbox, second: Sandbox) -> None:
    """The same record as in /list and /sessions/batch, whose readers take session_id as the key."""
    for known in (sandbox, second):
        assert look(api, known).get("session_id") == known.session_id


@required(Client.SDK)
def test_unknown_headers_are_accepted(api: RuntimeApi, sandbox: Sandbox) -> None:
    """openhands_sdk adds trace headers, and sends the session key along once it is connected."""
    trace_id, span_id = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    headers = {
        "traceparent": f"00-{trace_id}-{span_id}-01",
        "X-OpenHands-Observability-Session-Id": "conformance",
        "X-Session-API-Key": sandbox.session_api_key,
    }
    seen = api.get(f"/sessions/{sandbox.session_id}", headers=headers)
    assert seen.ok, seen


@required(Client.SDK, Client.APP, Client.V0, Client.SAAS)
def test_another_owner_sees_no_session(other_api: RuntimeApi, sandbox: Sandbox) -> None:
    """Every client takes what it finds under its session id for its own, with the session key in it."""
    seen: Exchange = other_api.get(f"/sessions/{sandbox.session_id}")
    assert seen.status == 404, seen

"""A6: POST /pause, of the main sandbox."""

import uuid

from conformance.agent_server import SESSION_KEY, AgentServer
from conformance.api import RuntimeApi
from conformance.contract import APP_SECONDS, Client, recommended, required
from conformance.sandbox import Attempt, Sandbox


@required(Client.SDK, Client.APP, Client.V0, Client.SAAS)
def test_pause_succeeds(pause: Attempt) -> None:
    """SDK `pause`: raises unless it is a 2xx within 30 s."""
    assert pause.answer.ok, pause.answer


@required(Client.APP, Client.SAAS)
def test_pause_answers_before_the_time_out(pause: Attempt) -> None:
    """app `pause_sandbox`: 15 s for every call."""
    assert pause.answer.seconds < APP_SECONDS, f"it took {pause.answer.seconds:.1f} s"


@required(Client.SDK, Client.APP, Client.V0)
def test_session_is_paused(pause: Attempt) -> None:
    """SDK: resumes a session whose status is exactly `paused`, and starts it anew otherwise."""
    assert not pause.problem, pause.problem


@required(Client.SDK)
def test_paused_session_names_its_sandbox(api: RuntimeApi, paused: Sandbox) -> None:
    """SDK, attaching to a paused session: takes runtime_id and url before it resumes."""
    seen = api.get(f"/sessions/{paused.session_id}").fields
    assert (seen.get("runtime_id") or seen.get("id")) == paused.runtime_id
    assert seen.get("url") == paused.url
    assert seen.get("session_api_key") == paused.session_api_key


@recommended(Client.SDK)
def test_requests_do_not_wake_it(api: RuntimeApi, agent: AgentServer, paused: Sandbox) -> None:
    """SDK `pause`: "can be resumed later with resume()"; until then it must cost nothing."""
    agent.client.get("/server_info", headers={SESSION_KEY: paused.session_api_key})
    assert api.get(f"/sessions/{paused.session_id}").fields.get("status") == "paused"


@recommended(Client.SDK, Client.APP)
def test_pause_of_a_paused_one_changes_nothing(api: RuntimeApi, paused: Sandbox) -> None:
    """SDK: raises on any error, also when the sandbox is as it should be."""
    answer = api.post("/pause", {"runtime_id": paused.runtime_id})
    assert answer.ok, answer
    assert api.get(f"/sessions/{paused.session_id}").fields.get("status") == "paused"


@recommended(Client.APP)
def test_unknown_sandbox_is_404(api: RuntimeApi) -> None:
    """app `pause_sandbox`: 404 means that there is none; any other error is logged."""
    answer = api.post("/pause", {"runtime_id": f"unknown-{uuid.uuid4().hex}"})
    assert answer.status == 404, answer

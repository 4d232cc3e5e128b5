"""A5: POST /resume, of the main sandbox after its pause."""

import uuid
from typing import Any

from conformance.agent_server import AgentServer
from conformance.api import RuntimeApi, text_of
from conformance.contract import APP_SECONDS, Client, recommended, required
from conformance.sandbox import Attempt, Sandbox


def look(api: RuntimeApi, sandbox: Sandbox) -> dict[str, Any]:
    return api.get(f"/sessions/{sandbox.session_id}").fields


@required(Client.SDK, Client.APP, Client.V0)
def test_resume_succeeds(resume: Attempt) -> None:
    """SDK `_resume_runtime`: raises unless it is a 2xx."""
    assert resume.answer.ok, resume.answer


@required(Client.APP)
def test_resume_answers_before_the_time_out(resume: Attempt) -> None:
    """app `resume_sandbox`: 15 s for every call."""
    assert resume.answer.seconds < APP_SECONDS, f"it took {resume.answer.seconds:.1f} s"


@required(Client.APP)
def test_answer_has_the_session_key(resume: Attempt) -> None:
    """app `resume_sandbox`: stores the hash of session_api_key; without it the agent server's webhooks are refused."""
    text_of(resume.fields, "session_api_key")


@required(Client.SDK, Client.V0)
def test_sandbox_becomes_ready_again(resume: Attempt) -> None:
    """SDK `resume`: polls as after /start, with the url that it knows."""
    assert not resume.problem, resume.problem


@required(Client.SDK)
def test_old_key_still_opens_it(resume: Attempt) -> None:
    """SDK `resume`: goes on with the key that it has; a new one alone would give it 401."""
    assert resume.succeeded
    assert resume.first_use not in {"401", "403"}, f"the first request with the old key gave {resume.first_use}"


@required(Client.APP)
def test_told_keys_are_equal(api: RuntimeApi, resume: Attempt, resumed: Sandbox) -> None:
    """app: the key of /resume and that of the session must be the same one, since either is taken."""
    assert look(api, resumed).get("session_api_key") == resume.fields.get("session_api_key")


@required(Client.SDK)
def test_same_sandbox_at_the_same_url(api: RuntimeApi, resumed: Sandbox) -> None:
    """SDK: never reads runtime_id and url again."""
    seen = look(api, resumed)
    assert (seen.get("runtime_id") or seen.get("id")) == resumed.runtime_id
    assert seen.get("url") == resumed.url
    assert seen.get("status") == "running"


@recommended(Client.SDK)
def test_workspace_is_kept(agent: AgentServer, kept_file: tuple[str, bytes], resumed: Sandbox) -> None:
    """SDK `pause`: "to conserve resources"; users expect their files back."""
    assert resumed
    path, content = kept_file
    assert agent.download(path) == content


@recommended(Client.SDK, Client.V0)
def test_resume_of_a_running_one_changes_nothing(api: RuntimeApi, resumed: Sandbox) -> None:
    """SDK and V0: two of them may resume the same session at once."""
    answer = api.post("/resume", {"runtime_id": resumed.runtime_id})
    assert answer.ok, answer
    assert look(api, resumed).get("status") == "running"


@recommended(Client.APP)
def test_unknown_sandbox_is_404(api: RuntimeApi) -> None:
    """app `resume_sandbox`: 404 means that there is none; any other error is logged."""
    answer = api.post("/resume", {"runtime_id": f"unknown-{uuid.uuid4().hex}"})
    assert answer.status == 404, answer

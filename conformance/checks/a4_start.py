"""A4: POST /start, with the bodies of the SDK and of the app."""

import re
from typing import Any
from urllib.parse import urlsplit

from conformance.agent_server import AgentServer
from conformance.api import Exchange, RuntimeApi, as_object, text_of
from conformance.contract import APP_SECONDS, Client, recommended, required
from conformance.sandbox import Attempt, Sandbox, Sessions


@required(Client.SDK, Client.V0)
def test_start_succeeds(launch: Attempt) -> None:
    """SDK `_start_runtime`: command as one string, runtime_class sysbox-runc by default; raises unless it is a 2xx."""
    assert launch.answer.ok, launch.answer


@required(Client.SDK, Client.V0)
def test_answer_names_the_sandbox(launch: Attempt) -> None:
    """SDK `_parse_runtime_response`: runtime_id (or id) and url must be there."""
    answer = launch.fields
    text_of(answer, "runtime_id" if answer.get("runtime_id") else "id")
    text_of(answer, "url")


@required(Client.SDK)
def test_url_has_no_trailing_slash(launch: Attempt) -> None:
    """SDK: probes `{url}/health`; a slash at the end makes it `//health`."""
    url = text_of(launch.fields, "url")
    assert not url.endswith("/"), f"the url is {url}"


@required(Client.SDK)
def test_url_has_no_path(launch: Attempt) -> None:
    """SDK: asserts that httpx's base_url equals the url, and httpx ends a base_url that has a path with a slash."""
    url = urlsplit(text_of(launch.fields, "url"))
    assert url.scheme in {"http", "https"}
    assert url.netloc
    rest = url.path.rstrip("/") + url.query + url.fragment
    assert not rest, f"the url has a path: {url.geturl()}"


@required(Client.APP)
def test_key_and_status_are_text(launch: Attempt) -> None:
    """app `start_sandbox`: indexes session_api_key and stores its hash; without a status the sandbox is MISSING."""
    text_of(launch.fields, "session_api_key")
    text_of(launch.fields, "status")


@required(Client.V0)
def test_work_hosts_map_urls_to_ports(launch: Attempt) -> None:
    """V0: `work_hosts`, if it is there, is a dictionary of URLs and ports."""
    for url, port in as_object(launch.fields.get("work_hosts", {}), "work_hosts").items():
        assert url.startswith(("http://", "https://"))
        assert isinstance(port, int)


@recommended(Client.APP)
def test_runtime_id_is_a_dns_label(launch: Attempt) -> None:
    """app `_build_service_url`: `vscode-` goes before the url's host, whose first label often is the runtime_id."""
    runtime_id = text_of(launch.fields, "runtime_id")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,54}[a-z0-9])?", runtime_id), runtime_id


@required(Client.SDK, Client.V0)
def test_sandbox_becomes_ready(launch: Attempt) -> None:
    """SDK `_wait_until_runtime_alive`: polls until pod_status is ready and {url}/health answers."""
    assert not launch.problem, launch.problem


@required(Client.APP)
def test_sandbox_of_the_app_becomes_ready(second_launch: Attempt) -> None:
    """app `start_sandbox`: command as a list, working_dir /workspace, run_as_group, resource_factor 1."""
    assert not second_launch.problem, second_launch.problem


@required(Client.APP)
def test_start_answers_before_the_time_out(second_launch: Attempt) -> None:
    """app: 15 s for every call, /start too."""
    answer = second_launch.answer
    assert answer.seconds < APP_SECONDS, f"it took {answer.seconds:.1f} s"


@required(Client.SDK, Client.APP)
def test_environment_reaches_the_agent_server(agent: AgentServer, variable: tuple[str, str]) -> None:
    """SDK `forward_env`, app's OH_… and LLM_… variables: to the letter, whatever the value holds."""
    name, value = variable
    assert agent.run(f"printenv {name}").stdout.rstrip("\n") == value


@required(Client.SDK, Client.APP)
def test_start_of_a_running_session_finds_it(api: RuntimeApi, sandbox: Sandbox, start_body: dict[str, Any]) -> None:
    """SDK: starts again whenever the session is not reported as running or paused; a 409 ends the constructor."""
    again = api.post("/start", start_body).fields
    assert (again.get("runtime_id") or again.get("id")) == sandbox.runtime_id
    assert again.get("url") == sandbox.url
    assert again.get("session_api_key") == sandbox.session_api_key


@required(Client.SDK)
def test_start_of_a_paused_session_succeeds(second_restart: Exchange, second: Sandbox) -> None:
    """SDK: when /resume fails it falls back to /start with the same session id; a 409 ends the constructor."""
    answer = second_restart.fields
    assert text_of(answer, "runtime_id" if answer.get("runtime_id") else "id")
    assert text_of(answer, "url")


@recommended(Client.SDK)
def test_null_session_is_refused(api: RuntimeApi, start_body: dict[str, Any]) -> None:
    """SDK with session_id=None: sends null, and could never find its own sandbox again."""
    answer = api.post("/start", {**start_body, "session_id": None})
    if answer.ok:
        api.post("/stop", {"runtime_id": answer.fields.get("runtime_id")})
    assert 400 <= answer.status < 500, answer


@recommended(Client.V0)
def test_missing_image_is_refused_in_words(api: RuntimeApi, sessions: Sessions) -> None:
    """V0 `request.py`: shows the `detail` of an error's JSON."""
    answer = api.post("/start", {"session_id": sessions.like_the_sdk()})
    assert 400 <= answer.status < 500, answer
    assert "image" in text_of(as_object(answer.body, str(answer)), "detail")

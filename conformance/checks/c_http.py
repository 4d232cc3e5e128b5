"""C: the sandbox's own HTTP through the server's `url`."""

import hashlib
import random
import uuid
from urllib.parse import quote

import httpx
import pytest

from conformance.agent_server import SESSION_KEY, WORKSPACE, AgentServer
from conformance.contract import Client, recommended, required
from conformance.quiet import Minute
from conformance.sandbox import Sandbox, probe

_LARGE = 32 * 1024 * 1024
_HUGE = 1024**3
_ODD_NAME = "odd +%/na me & %2F#ü?.txt"
"""Whatever decodes a path once too often, or tidies it up, loses this one."""


@required(Client.SDK)
def test_health_is_open(sandbox: Sandbox) -> None:
    """SDK `_wait_until_runtime_alive_once`: urllib, without a key."""
    answer = probe(f"{sandbox.url}/health")
    assert answer.is_success, answer


@required(Client.APP, Client.V0)
def test_alive_is_open(sandbox: Sandbox) -> None:
    """app `wait_for_sandbox_running`, V0: GET {url}/alive without a key."""
    answer = probe(f"{sandbox.url}/alive")
    assert answer.is_success, answer


@required(Client.SDK, Client.APP, Client.WEB)
@pytest.mark.parametrize("headers", [{}, {SESSION_KEY: "wrong"}], ids=["missing", "wrong"])
def test_no_entry_without_the_session_key(sandbox: Sandbox, headers: dict[str, str]) -> None:
    """All clients send X-Session-API-Key, and nothing else keeps others out of the sandbox."""
    answer = httpx.get(f"{sandbox.url}/api/bash/bash_events/search", headers=headers, timeout=30)
    assert answer.status_code in {401, 403}, answer


@required(Client.SDK)
def test_command(agent: AgentServer) -> None:
    """SDK `execute_command`: starts it, then polls ten times a second; the first failed poll ends it for the client."""
    result = agent.run("echo out; sleep 0.3; echo err >&2; exit 3")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n")


@required(Client.SDK)
def test_large_files_in_both_directions(agent: AgentServer) -> None:
    """SDK `file_upload`, `file_download`: one request, whatever the size; benchmarks copy archives this way."""
    content = random.Random(0).randbytes(_LARGE)
    path = f"{WORKSPACE}/large.bin"
    agent.upload(path, content)
    assert agent.run(f"sha256sum {path}").stdout.split()[0] == hashlib.sha256(content).hexdigest()
    assert agent.download(path) == content
    agent.run(f"rm {path}")


@recommended(Client.SDK)
def test_bodies_of_unknown_length(agent: AgentServer) -> None:
    """A body that is sent while it is made, as in uploads from a pipe: Transfer-Encoding chunked."""
    path, boundary = f"{WORKSPACE}/chunked.txt", uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    parts = [head.encode(), *[b"0123456789abcdef" * 4096] * 16, f"\r\n--{boundary}--\r\n".encode()]
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = agent.client.post("/api/file/upload", params={"path": path}, content=iter(parts), headers=headers)
    assert answer.is_success, answer.text
    assert len(agent.download(path)) == 1024 * 1024


@required(Client.SDK)
def test_huge_answers_are_streamed(agent: AgentServer) -> None:
    """SDK `file_download`: the first bytes of a long answer come at once, and Content-Length with them."""
    path = f"{WORKSPACE}/huge.bin"
    assert agent.run(f"truncate --size={_HUGE} {path}").exit_code == 0
    with agent.client.stream("GET", "/api/file/download", params={"path": path}) as answer:
        assert answer.headers.get("content-length") == str(_HUGE)
        received = 0
        for chunk in answer.iter_raw():
            received += len(chunk)
            if received > 1024 * 1024:
                break
    assert received > 1024 * 1024
    agent.run(f"rm {path}")


@required(Client.SDK)
def test_queries_arrive_as_they_are(agent: AgentServer) -> None:
    """SDK `file_upload`, `file_download`: the file's path is a query parameter."""
    agent.upload(f"{WORKSPACE}/{_ODD_NAME}", b"odd")
    assert agent.download(f"{WORKSPACE}/{_ODD_NAME}") == b"odd"


@required(Client.WEB)
def test_paths_arrive_as_they_are(agent: AgentServer, conversation: str) -> None:
    """Web client: GET /api/conversations/{id}/workspace/{path} with %2F and the like, which must stay encoded."""
    agent.upload(f"{WORKSPACE}/{_ODD_NAME}", b"odd")
    path = quote(f"{WORKSPACE}/{_ODD_NAME}", safe="")
    answer = agent.client.get(f"/api/conversations/{conversation}/workspace/{path}")
    assert (answer.status_code, answer.content) == (200, b"odd")


@required(Client.SDK)
def test_answers_of_the_agent_server_are_passed_on(agent: AgentServer) -> None:
    """SDK `RemoteConversation`: reads 404 and 422 of the agent server, and their bodies."""
    assert agent.client.get(f"/api/conversations/{uuid.uuid4()}").status_code == 404
    refused = agent.client.post("/api/bash/start_bash_command", json={})
    assert refused.status_code == 422
    assert "command" in refused.text


@required(Client.SDK)
def test_server_info(agent: AgentServer) -> None:
    """SDK: reads the agent server's version and tools, with the key."""
    answer = agent.client.get("/server_info")
    assert answer.status_code == 200
    assert "uptime" in answer.json()


@recommended(Client.WEB)
def test_preflight_needs_no_key(sandbox: Sandbox) -> None:
    """Web client: browsers ask with OPTIONS, and send no key, before they call another origin."""
    headers = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": SESSION_KEY.lower(),
    }
    answer = httpx.options(f"{sandbox.url}/api/conversations", headers=headers, timeout=30)
    assert answer.is_success
    assert answer.headers.get_list("access-control-allow-origin") in (["http://localhost:3000"], ["*"])


@required(Client.APP, Client.SDK)
def test_silence_of_a_minute(minute: Minute) -> None:
    """app `workspace_archive`: waits 660 s for the first byte; SDK: a conversation's first call takes minutes."""
    result = minute.call.result()
    assert (result.exit_code, result.stdout) == (0, "awake\n")


@required(Client.SDK)
def test_polls_over_a_minute(minute: Minute) -> None:
    """SDK `execute_command`: one poll that meets a connection just closed ends the command for the client."""
    assert set(minute.polls.result()) == {200}


@required(Client.SDK)
def test_paused_sandbox_is_a_passing_failure(agent: AgentServer, paused: Sandbox) -> None:
    """SDK `RemoteConversation.run`: polls on after a 5xx; 404 or any other 4xx ends the run."""
    assert paused
    answer = agent.client.get("/api/bash/bash_events/search")
    assert answer.status_code >= 500, answer.text


@required(Client.V0)
def test_paused_sandbox_is_503(agent: AgentServer, paused: Sandbox) -> None:
    """V0: resumes the sandbox on 503, and on nothing else."""
    assert paused
    answer = agent.client.get("/api/bash/bash_events/search")
    assert answer.status_code == 503, answer.text


@required(Client.SDK)
def test_deleted_sandbox_is_a_final_failure(agent: AgentServer, stopped: Sandbox) -> None:
    """SDK `RemoteConversation.run`: a 4xx ends the run; a 5xx would be polled for up to an hour."""
    assert stopped
    answer = agent.client.get("/api/bash/bash_events/search")
    assert 400 <= answer.status_code < 500, answer.text


@recommended(Client.SDK)
def test_deleted_sandbox_is_404(agent: AgentServer, stopped: Sandbox) -> None:
    """What does not exist is 404: neither 401, as if the key were wrong, nor 403."""
    assert stopped
    answer = agent.client.get("/api/bash/bash_events/search")
    assert answer.status_code == 404, answer.text

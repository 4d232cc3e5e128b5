"""What agent servers are asked, over real HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
import structlog
from aiohttp import web

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox
from sandbox_operator.agents import agent_server
from sandbox_operator.agents.agent_server import (
    Address,
    AgentServers,
    InitError,
    UnprovenError,
    Work,
    address_of,
    base_url,
)
from unit.sandbox_operator.samples import KEY_ID, KEYS, POD_UID, at_home, pod, sandbox, status

type Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATH = "/api/conversations/prepare-for-sandbox-pause"


class Agent:
    """An agent server's HTTP side; it answers all requests as it is told, 204 by default."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.answer: Answer = self._done
        self.port = 0
        self.connections = 0

    async def _done(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path, request.headers.get("X-Session-API-Key", "")))
        return await self.answer(request)

    @property
    def sandbox(self) -> Sandbox:
        """The Sandbox whose pod this is."""
        return sandbox(command=["agent-server", "--port", str(self.port)])

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address("127.0.0.1", self.port, "pod", POD_UID)


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    made = Agent()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server
    serve = runner.server

    def connected() -> asyncio.Protocol:
        made.connections += 1
        return serve()

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await runner.cleanup()


@pytest.fixture
async def agents() -> AsyncIterator[AgentServers]:
    async with AgentServers(KEYS, at_home) as agents:
        yield agents


def answering(status: int) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    return answer


async def breaking(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def test_it_is_asked_with_its_key(agents: AgentServers, agent: Agent) -> None:
    with structlog.testing.capture_logs() as logs:
        await agents.prepare_for_pause("one", agent.address, KEY_ID)
    assert agent.asked == [("POST", PATH, KEYS.session_key(KEY_ID))]
    assert logs == []


@pytest.mark.parametrize("status", [404, 405])
async def test_an_older_agent_server_need_not_know_it(agents: AgentServers, agent: Agent, status: int) -> None:
    agent.answer = answering(status)
    with structlog.testing.capture_logs() as logs:
        await agents.prepare_for_pause("one", agent.address, KEY_ID)
    assert logs == []


@pytest.mark.parametrize("answer", [answering(500), answering(401), answering(302), breaking, silent])
async def test_a_failure_is_logged_without_the_key(
    agents: AgentServers, agent: Agent, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_server, "_PREPARE_SECONDS", 1.0)
    agent.answer = answer
    with structlog.testing.capture_logs() as logs:
        await agents.prepare_for_pause("one", agent.address, KEY_ID)
    [entry] = logs
    assert (entry["event"], entry["log_level"], entry["sandbox"]) == ("not prepared for its pause", "warning", "one")
    assert KEYS.session_key(KEY_ID) not in str(entry)
    # A redirect is not followed: the key goes to the pod and nowhere else.
    assert len(agent.asked) == 1


async def test_nobody_listens(agents: AgentServers, agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as logs:
        await agents.prepare_for_pause("one", Address("127.0.0.1", 1, "pod", POD_UID), KEY_ID)
    assert [entry["event"] for entry in logs] == ["not prepared for its pause"]
    assert KEYS.session_key(KEY_ID) not in f"{logs}{caplog.text}"


@pytest.mark.parametrize(
    ("ip", "command", "ports", "url"),
    [
        ("10.1.2.3", [], (), "http://10.1.2.3:60000"),
        ("10.1.2.3", ["agent-server"], (), "http://10.1.2.3:8000"),
        ("fd00::7", ["agent-server", "--port=9"], (), "http://[fd00::7]:9"),
        ("10.1.2.3", ["agent-server", "--port=9"], (("http", 60000),), "http://10.1.2.3:60000"),
    ],
)
def test_the_pod_and_not_the_spec_says_where_it_listens(
    ip: str, command: list[str], ports: tuple[tuple[str, int], ...], url: str
) -> None:
    assert base_url(address_of(sandbox(command=command), pod(ip=ip, ports=ports))) == url


INFO = b'{"uptime": 500, "idle_time": 20, "title": "OpenHands Agent Server", "sdk_version": "1.58.2"}'


def working(info: bytes = INFO, count: bytes = b"2", info_status: int = 200, count_status: int = 200) -> Answer:
    """An agent server that says what it does."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/server_info":
            return web.Response(status=info_status, body=info, content_type="application/json")
        assert request.path_qs == "/api/conversations/count?status=running"
        return web.Response(status=count_status, body=count, headers={"Location": "/elsewhere"})

    return answer


def ready(agent: Agent, **fields: str) -> Sandbox:
    return agent.sandbox.model_copy(update={"status": status(Reason.READY, pod_ip="127.0.0.1", **fields)})


async def test_it_says_what_it_does(agents: AgentServers, agent: Agent) -> None:
    agent.answer = working()
    assert await agents.work(ready(agent)) == Work(500, 20, 2)
    assert {key for _, _, key in agent.asked} == {KEYS.session_key(KEY_ID)}


async def test_a_moved_clock_makes_negative_times(agents: AgentServers, agent: Agent) -> None:
    agent.answer = working(b'{"uptime": -3600, "idle_time": -3700.5}', b"0")
    assert await agents.work(ready(agent)) == Work(-3600, -3700.5, 0)


async def test_one_that_cannot_count_has_none_that_run(agents: AgentServers, agent: Agent) -> None:
    agent.answer = working(count=b'{"detail": "Not Found"}', count_status=404)
    assert await agents.work(ready(agent)) == Work(500, 20, 0)


@pytest.mark.parametrize(
    "answer",
    [
        working(info_status=404),
        working(info_status=503),
        working(count_status=401),
        working(count_status=405),
        working(count_status=422),
        working(count_status=500),
        working(count_status=503),
        working(count_status=302),
        working(info=b""),
        working(info=b"[]"),
        working(info=b'{"uptime": 500}'),
        working(info=b'{"uptime": 500, "idle_time": null}'),
        working(info=b'{"uptime": 500, "idle_time": NaN}'),
        working(info=b'{"uptime": 500, "idle_time": 1e999}'),
        working(info=b"{" + b" " * 300_000 + b"}"),
        working(count=b"-1"),
        working(count=b"true"),
        working(count=b"null"),
        working(count=b'"0"'),
        working(count=b"0.5"),
        breaking,
        silent,
    ],
)
async def test_an_answer_that_says_nothing_is_none(
    agents: AgentServers, agent: Agent, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_server, "_ANSWER_SECONDS", 0.3)
    agent.answer = answer
    with pytest.raises((aiohttp.ClientError, OSError, ValueError)) as failure:
        await agents.work(ready(agent))
    assert KEYS.session_key(KEY_ID) not in str(failure.value)


async def test_a_key_whose_master_is_gone_opens_nothing(agents: AgentServers, agent: Agent) -> None:
    with pytest.raises(KeyError):
        await agents.work(ready(agent, key_id=KEY_ID.replace("v1-", "v2-")))
    assert agent.asked == []


class Dormant:
    """An agent server that waits to be initialized: answers what it is told, and counts as ready from a 200 on."""

    def __init__(self, *answers: int, state: str = "dormant") -> None:
        self.answers = list(answers)
        self.state = state
        self.bodies: list[dict[str, object]] = []
        self.keys: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.path == "/api/init"
        if request.method == "GET":
            return web.json_response({"state": self.state, "error": None})
        self.keys.append(request.headers["X-Init-API-Key"])
        self.bodies.append(await request.json())
        status = self.answers.pop(0)
        return web.json_response({"detail": "an answer may repeat the secret value"}, status=status)


async def test_it_is_initialized_with_the_keys_that_it_has(agents: AgentServers, agent: Agent) -> None:
    agent.answer = dormant = Dormant(200)
    await agents.init(agent.address, KEY_ID, {"env": {"TOKEN": "t"}})
    keys = {"session_api_keys": [KEYS.session_key(KEY_ID)], "secret_key": KEYS.secret_key(KEY_ID)}
    assert dormant.bodies == [{"env": {"TOKEN": "t"}, **keys}]
    assert dormant.keys == [KEYS.secret_key(KEY_ID)]


async def test_it_is_tried_again_after_a_failure(
    agents: AgentServers, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_server, "_INIT_PAUSES", (0.0, 0.0))
    agent.answer = Dormant(500, 503, 200)
    await agents.init(agent.address, KEY_ID, {})
    agent.answer = Dormant(500, 503, 500)
    with pytest.raises(InitError, match="answers 500"):
        await agents.init(agent.address, KEY_ID, {})


async def test_one_that_has_been_initialized_is_well(
    agents: AgentServers, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_server, "_INIT_PAUSES", (0.0,))
    agent.answer = Dormant(400, state="ready")
    await agents.init(agent.address, KEY_ID, {})
    agent.answer = Dormant(400, 400, state="initializing")
    with pytest.raises(InitError, match="is initializing"):
        await agents.init(agent.address, KEY_ID, {})


@pytest.mark.parametrize("status", [401, 404, 422, 302])
async def test_a_refusal_is_final_and_says_nothing_of_what_was_sent(
    agents: AgentServers, agent: Agent, status: int
) -> None:
    agent.answer = dormant = Dormant(status)
    with pytest.raises(InitError) as caught:
        await agents.init(agent.address, KEY_ID, {"env": {"TOKEN": "secret value"}})
    assert str(caught.value) == f"/api/init answers {status}"
    assert len(dormant.bodies) == 1


@pytest.mark.parametrize("answer", [breaking, silent])
async def test_no_answer_ends_in_time(
    agents: AgentServers, agent: Agent, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_server, "_INIT_SECONDS", 0.3)
    agent.answer = answer
    with pytest.raises(InitError, match="no answer"):
        await agents.init(agent.address, KEY_ID, {})


class Denier:
    """Says what has become of pods, and what had been sent when it was asked."""

    def __init__(self, agent: Agent, answer: str | Exception = "") -> None:
        self.asked: list[tuple[tuple[str, ...], int, int]] = []
        self.answer = answer
        self._agent = agent

    async def __call__(self, *pod: str) -> str:
        await asyncio.sleep(0.05)
        self.asked.append((pod, self._agent.connections, len(self._agent.asked)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


HOME = ("pod", POD_UID, "127.0.0.1")


async def test_each_request_has_a_connection_and_is_sent_when_that_is_proven(agent: Agent) -> None:
    denier = Denier(agent)
    agent.answer = working()
    async with AgentServers(KEYS, denier) as agents:
        await agents.prepare_for_pause("one", agent.address, KEY_ID)
        assert denier.asked == [(HOME, 1, 0)]
        agent.answer = Dormant(500, 200)
        await agents.init(agent.address, KEY_ID, {})
        assert denier.asked[1:] == [(HOME, 2, 1), (HOME, 3, 2)]
        agent.answer = working()
        await agents.work(ready(agent, pod_name="pod"))
    assert [(pod, sent) for pod, _, sent in denier.asked[3:]] == [(HOME, 3), (HOME, 3)]
    assert agent.connections == 5


@pytest.mark.parametrize("answer", ["is gone", ApiError(503, "", "busy"), TimeoutError(), aiohttp.ClientError("cut")])
async def test_nothing_is_sent_to_whom_the_address_may_belong_by_now(agent: Agent, answer: str | Exception) -> None:
    expected = "pod pod is gone" if isinstance(answer, str) else "the API server does not say whose address"
    async with AgentServers(KEYS, Denier(agent, answer)) as agents:
        with structlog.testing.capture_logs() as logs:
            await agents.prepare_for_pause("one", agent.address, KEY_ID)
        assert expected in logs[0]["error"]
        # A pod that is gone is not initialized; whether it is can be asked again.
        with pytest.raises(InitError if isinstance(answer, str) else UnprovenError, match=expected):
            await agents.init(agent.address, KEY_ID, {"env": {"TOKEN": "secret value"}})
        with pytest.raises(aiohttp.ClientError, match=expected):
            await agents.work(ready(agent, pod_name="pod"))
    assert agent.asked == []
    assert agent.connections > 0

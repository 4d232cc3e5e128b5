"""The sandboxes that the tests share, and what happens to them once."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from conformance import quiet
from conformance import sandbox as sandboxes
from conformance.agent_server import EVENTS, AgentServer, await_event
from conformance.api import Exchange, RuntimeApi
from conformance.contract import APP_SECONDS
from conformance.plugin import REPORT
from conformance.quiet import Minute
from conformance.sandbox import Attempt, Sandbox, Sessions
from conformance.target import SECRETS, TARGET, Secrets, Target

_END_SECONDS = 60.0
"""Until a paused or stopped one must be reported as such: pods have a grace period, usually of 30 s."""
_UNPULLABLE_SECONDS = 90.0
"""Until a failed start must be reported as failed. Both end with `--start-timeout`, if that is less."""


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Target:
    return pytestconfig.stash[TARGET]


@pytest.fixture(scope="session")
def end_seconds(target: Target) -> float:
    return min(_END_SECONDS, target.start_timeout)


@pytest.fixture(scope="session")
def secrets(pytestconfig: pytest.Config) -> Secrets:
    return pytestconfig.stash[SECRETS]


@pytest.fixture(scope="session")
def api(target: Target, secrets: Secrets) -> Iterator[RuntimeApi]:
    with RuntimeApi(target.url, target.api_key, secrets) as api:
        yield api


@pytest.fixture(scope="session")
def other_api(target: Target, secrets: Secrets) -> Iterator[RuntimeApi]:
    """The same server with another owner's key."""
    if not target.other_api_key:
        pytest.skip("another owner's key is not given (--other-api-key)")
    with RuntimeApi(target.url, target.other_api_key, secrets) as api:
        yield api


@pytest.fixture(scope="session")
def sessions(api: RuntimeApi, end_seconds: float, pytestconfig: pytest.Config) -> Iterator[Sessions]:
    sessions = Sessions(api, end_seconds)
    yield sessions
    pytestconfig.stash[REPORT].left_behind += sessions.stop_all()


def prepare(request: pytest.FixtureRequest, *names: str) -> None:
    """Make these fixtures now, if a test needs them. If one fails, that affects only its tests."""
    wanted = {name for item in request.session.items if isinstance(item, pytest.Function) for name in item.fixturenames}
    for name in names:
        if name in wanted:
            with contextlib.suppress(Exception):
                request.getfixturevalue(name)


# The main sandbox: started, paused, resumed and stopped as the SDK does it.


@pytest.fixture(scope="session")
def variable() -> tuple[str, str]:
    """A variable of the main sandbox's environment."""
    return "CONFORMANCE_VARIABLE", """two  words, "quotes", 'quotes', $HOME, $(id), %s, ü"""


@pytest.fixture(scope="session")
def start_body(sessions: Sessions, target: Target, variable: tuple[str, str]) -> dict[str, Any]:
    return sandboxes.like_the_sdk(sessions.like_the_sdk(), target.image, dict([variable]))


@pytest.fixture(scope="session")
def launch(api: RuntimeApi, start_body: dict[str, Any], target: Target) -> Attempt:
    return sandboxes.launch(api, start_body, target.start_timeout)


@pytest.fixture(scope="session")
def sandbox(launch: Attempt, request: pytest.FixtureRequest) -> Sandbox:
    found = launch.sandbox
    prepare(request, "minute_begun", "unpullable_begun")
    return found


@pytest.fixture(scope="session")
def agent(sandbox: Sandbox) -> Iterator[AgentServer]:
    with AgentServer(sandbox) as agent:
        yield agent


@pytest.fixture(scope="session")
def conversation(agent: AgentServer) -> str:
    """Id of a conversation in the main sandbox."""
    return agent.begin_conversation()


@pytest.fixture(scope="session")
def kept_file(agent: AgentServer) -> tuple[str, bytes]:
    """Path and content of a file that was there before the pause."""
    path, content = "/workspace/kept.txt", b"kept over the pause"
    agent.upload(path, content)
    return path, content


@pytest.fixture(scope="session")
def open_socket(agent: AgentServer, conversation: str) -> Iterator[ClientConnection]:
    """A WebSocket that is in use when the sandbox is paused."""
    with agent.connect(EVENTS.format(conversation)) as socket:
        agent.authenticate(socket)
        await_event(socket, "ConversationStateUpdateEvent")
        yield socket


@pytest.fixture(scope="session")
def pause(api: RuntimeApi, sandbox: Sandbox, end_seconds: float, request: pytest.FixtureRequest) -> Attempt:
    prepare(request, "kept_file", "open_socket")
    return sandboxes.pause(api, sandbox, end_seconds)


@pytest.fixture(scope="session")
def paused(pause: Attempt, sandbox: Sandbox) -> Sandbox:
    assert pause.succeeded
    return sandbox


@pytest.fixture(scope="session")
def resume(api: RuntimeApi, paused: Sandbox, target: Target) -> Attempt:
    return sandboxes.resume(api, paused, target.start_timeout)


@pytest.fixture(scope="session")
def resumed(resume: Attempt, sandbox: Sandbox) -> Sandbox:
    assert resume.succeeded
    return sandbox


@pytest.fixture(scope="session")
def stop(api: RuntimeApi, sandbox: Sandbox, end_seconds: float) -> Attempt:
    return sandboxes.stop(api, sandbox, end_seconds)


@pytest.fixture(scope="session")
def stopped(stop: Attempt, sandbox: Sandbox) -> Sandbox:
    assert stop.succeeded
    return sandbox


@pytest.fixture(scope="session")
def everything(api: RuntimeApi) -> list[Exchange]:
    """All exchanges of the whole run; its tests come last."""
    return api.exchanges


# The second sandbox: started as the app does it; paused, started once more and stopped while it starts.


@pytest.fixture(scope="session")
def second_body(sessions: Sessions, target: Target) -> dict[str, Any]:
    return sandboxes.like_the_app(sessions.like_the_app(), target.image)


@pytest.fixture(scope="session")
def second_launch(api: RuntimeApi, second_body: dict[str, Any], target: Target) -> Attempt:
    return sandboxes.launch(api, second_body, target.start_timeout)


@pytest.fixture(scope="session")
def second(second_launch: Attempt) -> Sandbox:
    return second_launch.sandbox


@pytest.fixture(scope="session")
def second_pause(api: RuntimeApi, second: Sandbox, end_seconds: float) -> Attempt:
    return sandboxes.pause(api, second, end_seconds)


@pytest.fixture(scope="session")
def second_restart(api: RuntimeApi, second_pause: Attempt, second_body: dict[str, Any]) -> Exchange:
    """The answer to /start of the session while it is paused."""
    assert second_pause.succeeded
    return api.post("/start", second_body, seconds=APP_SECONDS)


@pytest.fixture(scope="session")
def second_stop(api: RuntimeApi, second: Sandbox, second_restart: Exchange, end_seconds: float) -> Attempt:
    assert second_restart
    return sandboxes.stop(api, second, end_seconds)


# What runs beside the other tests.


@pytest.fixture(scope="session")
def given_up() -> Event:
    return Event()


@pytest.fixture(scope="session")
def background(sessions: Sessions, given_up: Event) -> Iterator[ThreadPoolExecutor]:
    assert sessions  # which are stopped after this has ended
    executor = ThreadPoolExecutor(4)
    yield executor
    given_up.set()
    executor.shutdown(wait=False, cancel_futures=True)


@pytest.fixture(scope="session")
def minute_begun(background: ThreadPoolExecutor, launch: Attempt, given_up: Event) -> Minute:
    return quiet.begin(background, launch.sandbox, given_up)


@pytest.fixture(scope="session")
def minute(sandbox: Sandbox, minute_begun: Minute) -> Minute:
    assert sandbox
    return minute_begun


@pytest.fixture(scope="session")
def unpullable_begun(
    background: ThreadPoolExecutor, api: RuntimeApi, sessions: Sessions, target: Target
) -> Future[Attempt]:
    seconds = min(_UNPULLABLE_SECONDS, target.start_timeout)
    # A registry that does not answer may do so later. Servers that do not know the variable pass it on.
    patience = {"OHSB_PENDING_TIMEOUT_SECONDS": str(int(seconds / 2))}
    body = sandboxes.like_the_sdk(sessions.like_the_sdk(), "localhost/openhands-conformance/no-such-image:1", patience)
    return background.submit(sandboxes.launch, api, body, seconds)


@pytest.fixture(scope="session")
def unpullable(unpullable_begun: Future[Attempt]) -> Attempt:
    """The start of an image that does not exist."""
    return unpullable_begun.result()

"""C: the sandbox's WebSockets through the server's `url`."""

import json
import uuid

import pytest
from websockets.sync.client import ClientConnection

from conformance.agent_server import BASH_EVENTS, EVENTS, SESSION_KEY, AgentServer, await_event, close_code
from conformance.contract import FINAL_CLOSE_CODES, NORMAL_CLOSE_CODES, Client, recommended, required
from conformance.quiet import Minute
from conformance.sandbox import Sandbox

_WAYS = pytest.mark.parametrize("in_header", [False, True], ids=["first message", "header"])


@required(Client.SDK, Client.WEB)
def test_key_in_the_first_message(agent: AgentServer, conversation: str) -> None:
    """SDK `WebSocketCallbackClient`: sends the key first, then needs a ConversationStateUpdateEvent within 30 s."""
    with agent.connect(EVENTS.format(conversation)) as socket:
        agent.authenticate(socket)
        event = await_event(socket, "ConversationStateUpdateEvent")
    assert event["key"] == "full_state"


@recommended(Client.WEB)
def test_key_in_the_header(agent: AgentServer, conversation: str) -> None:
    """Older clients that are no browsers: X-Session-API-Key with the handshake."""
    with agent.connect(EVENTS.format(conversation), {SESSION_KEY: agent.sandbox.session_api_key}) as socket:
        await_event(socket, "ConversationStateUpdateEvent")


@required(Client.SDK, Client.WEB)
@_WAYS
def test_wrong_key_is_turned_away(agent: AgentServer, conversation: str, in_header: bool) -> None:
    """SDK: comes back at once after 1000 and 1001, for ever; so the refusal must be another one."""
    ending = agent.ending(EVENTS.format(conversation), key="wrong", in_header=in_header)
    assert ending.close_code not in NORMAL_CLOSE_CODES, ending


@required(Client.SDK)
def test_close_codes_are_passed_on(agent: AgentServer) -> None:
    """SDK: gives up after 4004, the agent server's word for an unknown conversation; retries for ever otherwise."""
    key = agent.sandbox.session_api_key
    ending = agent.ending(EVENTS.format(uuid.uuid4()), key=key, in_header=False)
    assert ending.close_code == 4004, ending


@required(Client.SDK, Client.WEB)
@pytest.mark.parametrize("size", [900 * 1024, 3 * 1024 * 1024], ids=["900 KiB", "3 MiB"])
def test_large_events(agent: AgentServer, conversation: str, size: int) -> None:
    """SDK: takes messages of up to 1 MiB; web client: of any size. Observations are as long as what a tool prints."""
    with agent.connect(EVENTS.format(conversation)) as socket:
        agent.authenticate(socket)
        await_event(socket, "ConversationStateUpdateEvent")
        agent.send_message(conversation, "x" * size)
        event = await_event(socket, "MessageEvent")
    assert len(event["llm_message"]["content"][0]["text"]) == size


@required(Client.WEB)
def test_large_messages_to_the_sandbox(agent: AgentServer, conversation: str) -> None:
    """Web client: sends what a user pastes; the agent server takes 16 MiB. It must come whole to be refused."""
    with agent.connect(EVENTS.format(conversation)) as socket:
        agent.authenticate(socket)
        await_event(socket, "ConversationStateUpdateEvent")
        socket.send(json.dumps({"no": "message", "padding": "x" * 3 * 1024 * 1024}))
        assert await_event(socket, "ServerErrorEvent")["code"] == "ValidationError"


@required(Client.SDK)
def test_pings_are_answered(agent: AgentServer, conversation: str) -> None:
    """SDK: pings every 20 s, and drops the connection when no pong comes for 20 s."""
    with agent.connect(EVENTS.format(conversation)) as socket:
        agent.authenticate(socket)
        await_event(socket, "ConversationStateUpdateEvent")
        assert socket.ping().wait(20), "no pong came"


@required(Client.SDK, Client.WEB)
def test_silence_of_a_minute(minute: Minute) -> None:
    """SDK: `run` takes the end of a run from the WebSocket; one that is cut while a model thinks costs it 30 s."""
    assert minute.socket.result()["kind"] == "MessageEvent"


@required(Client.SDK)
def test_pause_closes_so_that_clients_come_back(open_socket: ClientConnection, paused: Sandbox) -> None:
    """SDK: 4001 and 4004 would end its WebSocket for good; after 1000 and 1001 it would come back without a pause."""
    assert paused
    code = close_code(open_socket)
    assert code not in NORMAL_CLOSE_CODES | FINAL_CLOSE_CODES, code


@required(Client.SDK)
@_WAYS
def test_paused_sandbox_lets_nobody_in(agent: AgentServer, paused: Sandbox, in_header: bool) -> None:
    """SDK: as above; it must be able to come back once the sandbox is resumed."""
    ending = agent.ending(BASH_EVENTS, key=paused.session_api_key, in_header=in_header)
    assert ending.close_code not in NORMAL_CLOSE_CODES | FINAL_CLOSE_CODES, ending


@recommended(Client.SDK)
def test_paused_sandbox_refuses_the_handshake(agent: AgentServer, paused: Sandbox) -> None:
    """SDK: backs off, up to 30 s, after a handshake that failed. 503 says that the sandbox is there, but down."""
    ending = agent.ending(BASH_EVENTS, key=paused.session_api_key, in_header=True)
    assert ending.handshake == 503, ending


@required(Client.SDK)
@_WAYS
def test_deleted_sandbox_lets_nobody_in(agent: AgentServer, stopped: Sandbox, in_header: bool) -> None:
    """SDK: after 1000 and 1001 it would come back without a pause, for ever."""
    ending = agent.ending(BASH_EVENTS, key=stopped.session_api_key, in_header=in_header)
    assert ending.close_code not in NORMAL_CLOSE_CODES, ending

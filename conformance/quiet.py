"""Connections on which nothing happens for longer than a minute, the usual time-out of a proxy. Runs in parallel with
the other tests."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

from conformance.agent_server import EVENTS, AgentServer, CommandResult, await_event
from conformance.sandbox import Sandbox

_SECONDS = 65
_POLL_SECONDS = 4.9
"""httpx, as the SDK uses it, keeps an idle connection for 5 s, and so does the agent server: the worst moment."""


@dataclass(frozen=True, slots=True)
class Minute:
    """The three that are under way."""

    call: Future[CommandResult]
    """One request whose answer begins after the minute."""
    socket: Future[dict[str, Any]]
    """A WebSocket on which nothing came before the message at the end, which is given."""
    polls: Future[list[int]]
    """Status codes of requests whose connection was idle just long enough to be closed by somebody."""


def begin(executor: ThreadPoolExecutor, sandbox: Sandbox, given_up: Event) -> Minute:
    """Begin all three; `given_up` ends the waiting early."""
    return Minute(
        executor.submit(_call, sandbox),
        executor.submit(_socket, sandbox, given_up),
        executor.submit(_polls, sandbox, given_up),
    )


def _call(sandbox: Sandbox) -> CommandResult:
    with AgentServer(sandbox) as agent:
        return agent.execute(f"sleep {_SECONDS}; echo awake", _SECONDS + 30)


def _socket(sandbox: Sandbox, given_up: Event) -> dict[str, Any]:
    with AgentServer(sandbox) as agent:
        conversation = agent.begin_conversation()
        with agent.connect(EVENTS.format(conversation)) as socket:
            agent.authenticate(socket)
            await_event(socket, "ConversationStateUpdateEvent")
            given_up.wait(_SECONDS)
            agent.send_message(conversation, "after the silence")
            return await_event(socket, "MessageEvent")


def _polls(sandbox: Sandbox, given_up: Event) -> list[int]:
    statuses: list[int] = []
    with AgentServer(sandbox) as agent:
        for _ in range(int(_SECONDS / _POLL_SECONDS)):
            statuses.append(agent.client.get("/api/bash/bash_events/search", params={"limit": 1}).status_code)
            if given_up.wait(_POLL_SECONDS):
                break
    return statuses

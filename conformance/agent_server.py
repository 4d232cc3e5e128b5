"""A sandbox's data plane as the SDK uses it (openhands_sdk 1.58.2, `RemoteWorkspace` and `RemoteConversation`)."""

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conformance.contract import SDK_POLL_SECONDS, Blocked
from conformance.sandbox import Sandbox

EVENTS = "/sockets/events/{}"
BASH_EVENTS = "/sockets/bash-events"
WORKSPACE = "/workspace"
SESSION_KEY = "X-Session-API-Key"
_RECEIVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command has printed."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a WebSocket was refused: by the status of its handshake, or by a close code."""

    handshake: int | None = None
    close_code: int | None = None


class AgentServer:
    """One connection pool to one sandbox, with its session key. Raises httpx.HTTPError when there is no answer."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.client = httpx.Client(
            base_url=sandbox.url,
            headers={SESSION_KEY: sandbox.session_api_key},
            timeout=httpx.Timeout(10, read=SDK_POLL_SECONDS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def run(self, command: str, seconds: float = 30) -> CommandResult:
        """Start a command, poll for its output as the SDK does. Raises AssertionError when it does not end."""
        body = {"command": command, "timeout": int(seconds), "cwd": WORKSPACE}
        started = self.client.post("/api/bash/start_bash_command", json=body)
        assert started.is_success, f"start_bash_command: {_told(started)}"
        params = {"kind__eq": "BashOutput", "sort_order": "TIMESTAMP", "limit": 100}
        params["command_id__eq"] = started.json()["id"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            page = self.client.get("/api/bash/bash_events/search", params=params)
            assert page.is_success, f"bash_events/search: {_told(page)}"
            outputs = page.json()["items"]
            if outputs and outputs[-1].get("exit_code") is not None:
                return CommandResult(
                    outputs[-1]["exit_code"],
                    "".join(output["stdout"] or "" for output in outputs),
                    "".join(output["stderr"] or "" for output in outputs),
                )
            time.sleep(0.1)
        raise AssertionError(f"the command did not end within {seconds:.0f} s: {command}")

    def execute(self, command: str, seconds: float) -> CommandResult:
        """Run a command in one call, which is silent until it has ended. Raises AssertionError."""
        body = {"command": command, "timeout": int(seconds), "cwd": WORKSPACE}
        answer = self.client.post("/api/bash/execute_bash_command", json=body, timeout=seconds)
        assert answer.is_success, f"execute_bash_command: {_told(answer)}"
        output = answer.json()
        return CommandResult(output["exit_code"], output["stdout"] or "", output["stderr"] or "")

    def upload(self, path: str, content: bytes) -> None:
        """Write a file. Raises AssertionError."""
        answer = self.client.post("/api/file/upload", params={"path": path}, files={"file": ("file", content)})
        assert answer.is_success, f"upload of {len(content)} bytes: {_told(answer)}"

    def download(self, path: str) -> bytes:
        """Read a file. Raises AssertionError."""
        answer = self.client.get("/api/file/download", params={"path": path})
        assert answer.is_success, f"download: {_told(answer)}"
        return answer.content

    def begin_conversation(self) -> str:
        """A conversation whose agent is never run; gives its id. Raises Blocked."""
        llm = {"model": "openai/none", "api_key": "none", "base_url": "http://127.0.0.1:9"}
        agent: dict[str, Any] = {"llm": llm, "tools": []}
        body: dict[str, Any] = {"agent": agent, "workspace": {"working_dir": WORKSPACE}, "autotitle": False}
        answer = self.client.post("/api/conversations", json=body)
        if not answer.is_success:
            raise Blocked(f"no conversation could be begun: {_told(answer)}")
        return answer.json()["id"]

    def send_message(self, conversation: str, text: str) -> None:
        """Put a user's message into a conversation, without running the agent. Raises AssertionError."""
        body = {"role": "user", "content": [{"type": "text", "text": text}], "run": False}
        answer = self.client.post(f"/api/conversations/{conversation}/events", json=body)
        assert answer.is_success, f"message of {len(text)} characters: {_told(answer)}"

    def connect(self, path: str, headers: Mapping[str, str] | None = None) -> AbstractContextManager[ClientConnection]:
        """Open a WebSocket, not authenticated unless by these headers. Raises InvalidStatus when it is refused."""
        url = urlsplit(self.sandbox.url)
        scheme = "wss" if url.scheme == "https" else "ws"
        return connect(f"{scheme}://{url.netloc}{url.path}{path}", additional_headers=headers, max_size=None)

    def authenticate(self, socket: ClientConnection) -> None:
        """Send the session key as the first message."""
        socket.send(auth_message(self.sandbox.session_api_key))

    def ending(self, path: str, *, key: str, in_header: bool) -> Ending:
        """How a WebSocket ends that nobody should be let into. Raises AssertionError when it brings something."""
        try:
            with self.connect(path, {SESSION_KEY: key} if in_header else None) as socket:
                if not in_header:
                    socket.send(auth_message(key))
                return Ending(close_code=close_code(socket))
        except InvalidStatus as error:
            return Ending(handshake=error.response.status_code)


def auth_message(key: str) -> str:
    """The first message of a WebSocket."""
    return json.dumps({"type": "auth", "session_api_key": key})


def close_code(socket: ClientConnection, seconds: float = _RECEIVE_SECONDS) -> int:
    """The code that the other side closes it with. Raises AssertionError when a message or nothing comes instead."""
    try:
        message = socket.recv(seconds)
    except TimeoutError:
        raise AssertionError(f"the WebSocket stays open; nothing came for {seconds:.0f} s") from None
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006
    raise AssertionError(f"the WebSocket brought a message: {message[:200]!r}")


def await_event(socket: ClientConnection, kind: str, seconds: float = _RECEIVE_SECONDS) -> dict[str, Any]:
    """The next event of this kind; others are passed over. Raises AssertionError when there is none."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            event = json.loads(socket.recv(max(0, deadline - time.monotonic())))
        except TimeoutError:
            raise AssertionError(f"no {kind} came within {seconds:.0f} s") from None
        except ConnectionClosed as closed:
            raise AssertionError(f"the WebSocket was closed before a {kind} came: {closed}") from None
        if event.get("kind") == kind:
            return event


def _told(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.text[:300]!r}"

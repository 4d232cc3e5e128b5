"""A sandbox as clients bring it up: look whether the session is there, start it, poll until it is ready, probe it."""

import secrets
import string
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from conformance.api import Exchange, RuntimeApi
from conformance.contract import FATAL_POD_STATUSES, SDK_END_SECONDS, SDK_POLL_SECONDS, SDK_START_SECONDS, Blocked

_PROBE_SECONDS = 5.0
"""Time-out of every client's probe of {url}/health or {url}/alive."""
_BASE62 = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a client keeps of an answer."""

    session_id: str
    runtime_id: str
    url: str
    session_api_key: str = field(repr=False)


@dataclass(slots=True)
class Attempt:
    """One call that changes a sandbox, and the polls after it. `problem` is "" when it came out as wanted."""

    session_id: str
    polls: list[Exchange] = field(default_factory=list[Exchange])
    unready_probes: int = 0
    """Probes that failed after `ready` was reported."""
    first_use: str = ""
    """What a request with the session key gave at once after it was ready: a status code, or an error."""
    before: Exchange | None = None
    """The look whether the session is there."""
    call: Exchange | None = None
    problem: str = ""

    @property
    def answer(self) -> Exchange:
        """The call's answer. Raises AssertionError when there was none."""
        assert self.call is not None, self.problem
        return self.call

    @property
    def fields(self) -> dict[str, Any]:
        """The call's good answer. Raises Blocked."""
        if self.call is None or not self.call.ok:
            raise Blocked(self.problem)
        return self.call.fields

    @property
    def looks(self) -> list[dict[str, Any]]:
        """The polls' good answers, in their order. Raises Blocked when there was no poll."""
        if not self.polls:
            raise Blocked(self.problem)
        return [seen.fields for seen in self.polls if seen.ok]

    @property
    def succeeded(self) -> Exchange:
        """The call, but only if all of it came out as wanted. Raises Blocked."""
        if self.problem or self.call is None:
            raise Blocked(self.problem)
        return self.call

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox of a start that succeeded. Raises Blocked."""
        return _kept(self.session_id, self.succeeded)


class Sessions:
    """Session ids of this run. Whatever is still there at the end is stopped."""

    def __init__(self, api: RuntimeApi, end_seconds: float) -> None:
        self._api = api
        self._end_seconds = end_seconds
        self._ids: list[str] = []

    def like_the_sdk(self) -> str:
        """A new id in the SDK's form."""
        return self._remember(f"agent-server-{uuid.uuid4()}")

    def like_the_app(self) -> str:
        """A new id in the app's form: base62, with letters of both cases."""
        return self._remember("aZ" + "".join(secrets.choice(_BASE62) for _ in range(20)))

    def stop_all(self) -> list[str]:
        """Stop them; gives a line about each that may be left."""
        return [line for session_id in self._ids if (line := self._stop(session_id))]

    def _remember(self, session_id: str) -> str:
        self._ids.append(session_id)
        return session_id

    def _stop(self, session_id: str) -> str:
        try:
            found = self._api.get(f"/sessions/{session_id}")
            if found.status == 404 or (found.ok and found.fields.get("status") == "stopped"):
                return ""
            runtime_id = found.fields.get("runtime_id") or found.fields.get("id")
            stopped = self._api.post("/stop", {"runtime_id": runtime_id}, seconds=SDK_END_SECONDS)
            gone = poll(lambda: _gone(self._api.get(f"/sessions/{session_id}")), self._end_seconds)
        except (httpx.HTTPError, AssertionError) as error:
            return f"session {session_id}: {error}"
        return "" if gone else f"session {session_id}: {stopped}"


def like_the_sdk(session_id: str, image: str, environment: dict[str, str]) -> dict[str, Any]:
    """Body of /start as openhands_workspace 1.58.2 sends it: the command is one string."""
    return {
        "image": image,
        "command": "/usr/local/bin/openhands-agent-server --port 60000",
        "working_dir": "/",
        "environment": environment,
        "session_id": session_id,
        "run_as_user": 10001,
        "fs_group": 10001,
        "image_pull_policy": "IfNotPresent",
        "runtime_class": "sysbox-runc",
    }


def like_the_app(session_id: str, image: str) -> dict[str, Any]:
    """Body of /start as openhands_ai 1.11.0 sends it: the command is a list."""
    return {
        "image": image,
        "command": ["/usr/local/bin/openhands-agent-server", "--port", "60000"],
        "working_dir": "/workspace",
        "environment": {
            "OPENVSCODE_SERVER_ROOT": "/openhands/.openvscode-server",
            "LOG_JSON": "true",
            "OH_ENABLE_VNC": "0",
            "OH_CONVERSATIONS_PATH": "/workspace/conversations",
            "OH_BASH_EVENTS_DIR": "/workspace/bash_events",
            "OH_VSCODE_PORT": "60001",
            "OH_WEBHOOKS_0_BASE_URL": "http://127.0.0.1:9/api/v1/webhooks",
            "OH_ALLOW_CORS_ORIGINS_0": "http://127.0.0.1:9",
            "WORKER_1": "12000",
            "WORKER_2": "12001",
        },
        "session_id": session_id,
        "run_as_user": 10001,
        "run_as_group": 10001,
        "fs_group": 10001,
        "resource_factor": 1,
    }


def launch(api: RuntimeApi, body: dict[str, Any], start_timeout: float) -> Attempt:
    """Start it as the SDK does. Failures are in `problem`."""
    attempt = Attempt(body["session_id"])
    with _told_in(attempt):
        attempt.before = api.get(f"/sessions/{attempt.session_id}")
        attempt.call = api.post("/start", body, seconds=SDK_START_SECONDS)
        assert attempt.call.ok, f"/start was refused: {attempt.call}"
        _wait_until_ready(api, attempt, _kept(attempt.session_id, attempt.call), start_timeout)
    return attempt


def resume(api: RuntimeApi, sandbox: Sandbox, start_timeout: float) -> Attempt:
    """Resume it and wait until it is ready, as the SDK does: with the URL and the key that it knows."""
    attempt = Attempt(sandbox.session_id)
    with _told_in(attempt):
        attempt.call = _change(api, "/resume", sandbox, SDK_START_SECONDS)
        assert attempt.call.ok, f"/resume was refused: {attempt.call}"
        _wait_until_ready(api, attempt, sandbox, start_timeout)
    return attempt


def pause(api: RuntimeApi, sandbox: Sandbox, seconds: float) -> Attempt:
    """Pause it and wait until the session is reported as `paused`."""
    return _end(api, "/pause", sandbox, seconds, lambda seen: seen.ok and seen.fields.get("status") == "paused")


def stop(api: RuntimeApi, sandbox: Sandbox, seconds: float) -> Attempt:
    """Stop it and wait until no client would regard the session as alive."""
    return _end(api, "/stop", sandbox, seconds, _gone)


def poll(look: Callable[[], bool], seconds: float) -> bool:
    """Look, at first often and then less, until it is true; False when it is not within `seconds`."""
    deadline, pause = time.monotonic() + seconds, 0.2
    while not look():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 3)
    return True


def probe(url: str) -> httpx.Response:
    """GET without any key, as clients look whether the agent server is there."""
    return httpx.get(url, timeout=_PROBE_SECONDS)


def _gone(seen: Exchange) -> bool:
    return seen.status == 404 or (seen.ok and seen.fields.get("status") not in {"running", "paused", "starting"})


@contextmanager
def _told_in(attempt: Attempt) -> Generator[None]:
    try:
        yield
    except (httpx.HTTPError, AssertionError, Blocked) as error:
        attempt.problem = str(error) or type(error).__name__


def _change(api: RuntimeApi, path: str, sandbox: Sandbox, seconds: float) -> Exchange:
    return api.post(path, {"runtime_id": sandbox.runtime_id}, session_api_key=sandbox.session_api_key, seconds=seconds)


def _end(api: RuntimeApi, path: str, sandbox: Sandbox, seconds: float, wanted: Callable[[Exchange], bool]) -> Attempt:
    attempt = Attempt(sandbox.session_id)

    def look() -> bool:
        attempt.polls.append(api.get(f"/sessions/{sandbox.session_id}"))
        return wanted(attempt.polls[-1])

    with _told_in(attempt):
        attempt.call = _change(api, path, sandbox, SDK_END_SECONDS)
        assert attempt.call.ok, f"{path} was refused: {attempt.call}"
        assert poll(look, seconds), f"{seconds:.0f} s after {path} the session is still {attempt.polls[-1]}"
    return attempt


def _wait_until_ready(api: RuntimeApi, attempt: Attempt, sandbox: Sandbox, seconds: float) -> None:
    def look() -> bool:
        seen = api.get(f"/sessions/{attempt.session_id}")
        attempt.polls.append(seen)
        assert seen.ok, f"a poll was refused: {seen}"
        pod_status = str(seen.fields.get("pod_status")).lower()
        failed = pod_status in FATAL_POD_STATUSES
        assert not failed, f"the start failed (pod_status: {pod_status}): {seen.fields.get('pod_logs')}"
        if pod_status != "ready":
            return False
        reached = _reached(f"{sandbox.url}/health")
        attempt.unready_probes += not reached
        return reached

    if not poll(look, seconds):
        probes = f", and {sandbox.url}/health did not answer" if attempt.unready_probes else ""
        raise AssertionError(f"not ready within {seconds:.0f} s; last seen: {attempt.polls[-1]}{probes}")
    attempt.first_use = _first_use(sandbox)


def _first_use(sandbox: Sandbox) -> str:
    headers = {"X-Session-API-Key": sandbox.session_api_key}
    url = f"{sandbox.url}/api/bash/bash_events/search?limit=1"
    try:
        return str(httpx.get(url, headers=headers, timeout=SDK_POLL_SECONDS).status_code)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"


def _reached(url: str) -> bool:
    try:
        return probe(url).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _kept(session_id: str, answer: Exchange) -> Sandbox:
    fields = answer.fields
    runtime_id, url, key = (
        fields.get("runtime_id") or fields.get("id"),
        fields.get("url"),
        fields.get("session_api_key"),
    )
    if isinstance(runtime_id, str) and isinstance(url, str) and isinstance(key, str):
        return Sandbox(session_id, runtime_id, url, key)
    raise Blocked(f"runtime_id, url and session_api_key are not all there: {answer}")

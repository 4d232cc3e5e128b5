"""The chart's test: start sandboxes through the gateway, run a command in each, and say how long that takes here.

Cold starts ask for an environment that no pool has, and warm ones for what the chart's own pool for this test keeps
ready. What a start really was, the gateway says.
"""

import argparse
import contextlib
import ssl
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

POLL_SECONDS = 0.25
POOL_SECONDS = 45.0
"""How long to wait for a pod of the pool. Then an image is being pulled, or there is no room."""
REPORT_SECONDS = 6.0
"""A pool reports that it has fewer pods up to 5 s late."""
# What the OpenHands SDK sends (openhands_workspace 1.58.2, APIRemoteWorkspace).
COMMAND = "/usr/local/bin/openhands-agent-server --port 60000"
WORKING_DIR = "/"
RUNTIME_CLASS = "sysbox-runc"

type Json = dict[str, Any]


class CheckFailed(Exception):
    """Why the installation does not work, in words for the person who runs the check."""


@dataclass
class Start:
    """One start: how its pod was made, and the seconds from the call to the end of the first command, by step."""

    launch: str = ""
    why: str = ""
    """Why it was not another launch, in words for people."""
    steps: dict[str, float] = field(default_factory=dict[str, float])
    """A step has the name of the reason for which the sandbox was not ready."""

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())


class Steps:
    """Divides the time since it was made into steps, and prints when each begins."""

    def __init__(self) -> None:
        self._began = self._since = time.monotonic()
        self._step, self._words = "Request", ""
        self.seconds: dict[str, float] = {}
        """By step, of those that have ended."""

    def enter(self, step: str, words: str = "") -> None:
        """From now on it is this step. `words` say what happens in it."""
        now = time.monotonic()
        if (step, words) != (self._step, self._words):
            say(f"  {now - self._began:6.2f} s  {': '.join(filter(None, (step, words)))}")
        if step != self._step:
            self.seconds[self._step] = self.seconds.get(self._step, 0.0) + now - self._since
            self._since = now
        self._step, self._words = step, words


class Gateway:
    """The Runtime API. Calls raise CheckFailed, or httpx.HTTPError when the gateway cannot be reached."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer to a call. One that the key's rate delays is sent again when the gateway says so."""
        deadline = time.monotonic() + 120
        while True:
            response = self._client.request(method, path, **request)
            wait = float(response.headers.get("Retry-After", 1))
            if response.status_code != 429 or time.monotonic() + wait > deadline:
                return response
            say(f"  {method} {path} waits for {wait:.0f} s, so the times are longer: {detail(response)}")
            time.sleep(wait)

    def json(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of a successful answer."""
        response = self.call(method, path, **request)
        what = f"{response.request.method} {response.request.url.path}"
        if not response.is_success:
            raise CheckFailed(f"{what} was answered with {response.status_code}: {response.text[:2000]}")
        try:
            return response.json()
        except ValueError as error:
            raise CheckFailed(f"{what} was answered with something else than JSON: {response.text[:500]!r}") from error

    def one_of_batch(self, session_id: str) -> Json:
        """A session's sandbox, from the gateway's memory; empty while it knows none."""
        body = self.json("GET", "/sessions/batch", params={"ids": session_id})
        return cast("Json", body[0] or {}) if isinstance(body, list) and body else {}

    def object(self, method: str, path: str, **request: Any) -> Json:
        """The JSON object of a successful answer."""
        body = self.json(method, path, **request)
        if not isinstance(body, dict):
            raise CheckFailed(f"{method} {path} was answered with something else than a JSON object: {body!r:.500}")
        return cast("Json", body)


def say(text: str) -> None:
    print(text, flush=True)


def detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return response.text[:500]


def wait_ready(gateway: Gateway, session_id: str, starting: Future[Json], steps: Steps, seconds: float) -> Json:
    """The sandbox when it is ready: /start, which is under way, tells it at once if that is within some seconds.

    Meanwhile, polls that are answered from memory tell the steps.
    """
    deadline = time.monotonic() + seconds
    state = "nothing is known of it"
    while True:
        answered = starting.done()
        if answered and starting.result().get("pod_status") == "ready":
            return starting.result()
        if found := gateway.one_of_batch(session_id):
            events = cast("list[Json]", found.get("events") or [])
            reasons = [f"{event.get('reason')}: {event.get('message')}" for event in events]
            state = ", ".join([f"status {found.get('status')}", f"pod {found.get('pod_status')}", *reasons])
            if found.get("pod_status") == "failed":
                raise CheckFailed(f"the sandbox did not start: {found.get('pod_logs') or state}")
            if found.get("pod_status") == "ready":
                return starting.result()
            if events:
                steps.enter(str(events[0].get("reason")), str(events[0].get("message")))
        if time.monotonic() > deadline:
            raise CheckFailed(f"the sandbox is not ready after {seconds:.0f} s: {state}")
        if not answered:
            with contextlib.suppress(TimeoutError):
                starting.result(POLL_SECONDS)
        else:
            time.sleep(POLL_SECONDS)


def run_command(client: httpx.Client, sandbox: Json) -> None:
    """Run a command through the data plane and check what it prints. Raises CheckFailed.

    The request goes to the gateway's Service whatever the sandbox's URL is, with the URL's host in the Host header:
    that takes the same route, and needs no DNS for the host names of sandboxes.
    """
    result = Gateway(client).object(
        "POST",
        "/api/bash/execute_bash_command",
        json={"command": "echo six times seven is $((6 * 7))", "cwd": "/workspace", "timeout": 30},
        headers={"Host": urlsplit(str(sandbox["url"])).netloc, "X-Session-API-Key": sandbox["session_api_key"]},
        timeout=60,
    )
    if result.get("exit_code") != 0 or (result.get("stdout") or "").strip() != "six times seven is 42":
        raise CheckFailed(f"the command's result is not the expected one: {result}")


def stop(gateway: Gateway, sandbox: Json, session_id: str) -> None:
    """Stop the sandbox and wait until its session is gone. Raises CheckFailed."""
    gateway.object("POST", "/stop", json={"runtime_id": sandbox["runtime_id"]})
    deadline = time.monotonic() + 60
    while gateway.one_of_batch(session_id):
        if time.monotonic() > deadline:
            raise CheckFailed("the session is still there 60 s after /stop")
        time.sleep(POLL_SECONDS)


def trust(certificate: Path | None) -> ssl.SSLContext | bool:
    """What a gateway with TLS must show: this certificate, which is that of its public name, not of its Service."""
    if certificate is None:
        return True
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its issuer need not be known here
    return context


def start_and_stop(client: httpx.Client, image: str, environment: Mapping[str, str], seconds: float) -> Start:
    """One start, which must be ready after `seconds`, with a command. Raises CheckFailed and httpx.HTTPError."""
    gateway, session_id, steps = Gateway(client), f"helm-test-{uuid.uuid4()}", Steps()
    request: Json = {
        "image": image,
        "command": COMMAND,
        "working_dir": WORKING_DIR,
        "environment": dict(environment),
        "session_id": session_id,
        "run_as_user": 10001,
        "fs_group": 10001,
        "image_pull_policy": "IfNotPresent",
        "runtime_class": RUNTIME_CLASS,
    }
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(gateway.object, "POST", "/start", json=request)
        try:
            sandbox = wait_ready(gateway, session_id, starting, steps, seconds)
            missing = [name for name in ("runtime_id", "url", "session_api_key") if not sandbox.get(name)]
            if missing:
                raise CheckFailed(f"the answer to /start lacks {', '.join(missing)}")
            steps.enter("Command")
            run_command(client, sandbox)
            steps.enter("Done")
            explained = gateway.object("GET", f"/explain/{sandbox['runtime_id']}")
        except (CheckFailed, httpx.HTTPError):
            with contextlib.suppress(CheckFailed, httpx.HTTPError, KeyError):  # what is told is the first failure
                stop(gateway, starting.result(), session_id)
            raise
    stop(gateway, sandbox, session_id)
    evidence = cast("list[Json]", explained.get("evidence") or [])
    why = next((str(entry["text"]) for entry in evidence if entry.get("source") == "launch"), "")
    return Start(str(explained.get("launch")), why, steps.seconds)


def wait_for_pool(gateway: Gateway, name: str) -> bool:
    """Whether the pool has a pod for the next start."""
    deadline = time.monotonic() + POOL_SECONDS
    while True:
        pools = cast("list[Json]", gateway.object("GET", "/api/warm-runtime-configs").get("configs") or [])
        if any(pool.get("name") == name and pool.get("ready") for pool in pools):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(1)


def summary(launch: str, starts: Sequence[Start]) -> str:
    """Median and slowest step of the starts of one launch, in a line."""
    times = sorted(start.seconds for start in starts)
    names = {name for start in starts for name in start.steps}
    medians = {name: median(start.steps.get(name, 0.0) for start in starts) for name in names}
    slowest = max(medians, key=lambda name: medians[name])
    spread = f"{times[0]:.2f} to {times[-1]:.2f}, median of {len(times)}" if len(times) > 1 else "one start"
    return f"  {launch:7}{median(times):6.2f} s ({spread}); slowest step: {slowest}, {medians[slowest]:.2f} s"


def check(client: httpx.Client, image: str, pool: str, count: int, start_timeout: float) -> None:
    """The whole test. Raises CheckFailed, or httpx.HTTPError when the gateway cannot be reached."""
    began, gateway = time.monotonic(), Gateway(client)
    # While the pool's pod boots, a start would share its node's CPU.
    filled = wait_for_pool(gateway, pool)
    starts: list[Start] = []
    for number in range(1, count + 1):
        say(f"Cold start {number} of {count}")
        left = start_timeout - (time.monotonic() - began) if number == 1 else start_timeout
        starts.append(start_and_stop(client, image, {"HELM_TEST": str(uuid.uuid4())}, left))
    for number in range(1, count + 1):
        if number > 1:
            time.sleep(REPORT_SECONDS)
        if not (filled or wait_for_pool(gateway, pool)):
            say(f"No warm start: SandboxPool {pool} has no ready pod after {POOL_SECONDS:.0f} s")
            break
        filled = False
        say(f"Warm start {number} of {count}")
        starts.append(start_and_stop(client, image, {}, start_timeout))
        if starts[-1].launch != "Warm":
            say(f"  It was not warm. {starts[-1].why}")
    say("From the call of /start to the end of the first command:")
    for launch in ("Cold", "Warm"):
        if of_launch := [start for start in starts if start.launch == launch]:
            say(summary(launch, of_launch))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, help="URL of the gateway")
    parser.add_argument("--certificate", type=Path, help="file with the certificate of a gateway with TLS")
    parser.add_argument("--api-key-file", required=True, type=Path, help="file with the API key")
    parser.add_argument("--image", required=True, help="image of an OpenHands agent server")
    parser.add_argument("--pool", required=True, help="SandboxPool that keeps it ready")
    parser.add_argument("--starts", default=1, type=int, help="number of starts of each kind")
    parser.add_argument("--start-timeout", default=240, type=float, help="seconds that a start may take")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        headers = {"X-API-Key": arguments.api_key_file.read_text().strip()}
        with httpx.Client(
            base_url=arguments.gateway,
            headers=headers,
            verify=trust(arguments.certificate),
            timeout=30,
            trust_env=False,
        ) as client:
            say(f"Sandboxes from {arguments.image} through {arguments.gateway}")
            check(client, arguments.image, arguments.pool, arguments.starts, arguments.start_timeout)
    except CheckFailed as failure:
        say(f"FAILED: {failure}")
        return 1
    except httpx.HTTPError as error:
        say(f"FAILED: the gateway cannot be reached or broke off: {error!r}. Are its pods ready?")
        return 1
    say(f"PASSED in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

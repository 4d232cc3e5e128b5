"""The chart's test: start a sandbox through the gateway, run a command in it, and stop it."""

import argparse
import contextlib
import ssl
import sys
import time
import uuid
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

POLL_SECONDS = 1.0
# The command line and working directory that the OpenHands SDK sends (openhands_workspace 1.58.2, APIRemoteWorkspace).
COMMAND = "/usr/local/bin/openhands-agent-server --port 60000"
WORKING_DIR = "/"


class CheckFailed(Exception):
    """Why the installation does not work, in words for the person who runs the check."""


def say(text: str) -> None:
    print(text, flush=True)


def answer(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a successful answer. Raises CheckFailed."""
    request = f"{response.request.method} {response.request.url.path}"
    if not response.is_success:
        raise CheckFailed(f"{request} was answered with {response.status_code}: {response.text[:2000]}")
    try:
        body = response.json()
    except ValueError as error:
        raise CheckFailed(f"{request} was answered with something else than JSON: {response.text[:500]!r}") from error
    if not isinstance(body, dict):
        raise CheckFailed(f"{request} was answered with something else than a JSON object: {response.text[:500]!r}")
    return cast("dict[str, Any]", body)


def wait_ready(client: httpx.Client, session_id: str, seconds: float) -> None:
    """Poll the session until its pod is ready. Raises CheckFailed when it fails or takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    last = ""
    while True:
        session = answer(client.get(f"/sessions/{session_id}"))
        events = cast("list[dict[str, Any]]", session.get("events") or [])
        reasons = [f"{event.get('reason')}: {event.get('message')}" for event in events]
        state = ", ".join([f"status {session.get('status')}", f"pod {session.get('pod_status')}", *reasons])
        if state != last:
            say(f"  {state}")
            last = state
        if session.get("pod_status") == "ready":
            return
        if session.get("pod_status") == "failed":
            raise CheckFailed(f"the sandbox did not start: {session.get('pod_logs') or state}")
        if time.monotonic() > deadline:
            raise CheckFailed(f"the sandbox is not ready after {seconds:.0f} s: {state}")
        time.sleep(POLL_SECONDS)


def run_command(client: httpx.Client, sandbox: dict[str, Any]) -> None:
    """Run a command through the data plane and check what it prints. Raises CheckFailed.

    The request goes to the gateway's Service whatever the sandbox's URL is, with the URL's host in the Host header:
    that takes the same route, and needs no DNS for the host names of sandboxes.
    """
    response = client.post(
        "/api/bash/execute_bash_command",
        json={"command": "echo six times seven is $((6 * 7))", "cwd": "/workspace", "timeout": 30},
        headers={"Host": urlsplit(str(sandbox["url"])).netloc, "X-Session-API-Key": sandbox["session_api_key"]},
        timeout=60,
    )
    result = answer(response)
    say(f"  exit code {result.get('exit_code')}, output {result.get('stdout')!r}")
    if result.get("exit_code") != 0 or (result.get("stdout") or "").strip() != "six times seven is 42":
        raise CheckFailed(f"the command's result is not the expected one: {result}")


def stop(client: httpx.Client, sandbox: dict[str, Any], session_id: str) -> None:
    """Stop the sandbox and wait until its session is gone. Raises CheckFailed."""
    answer(client.post("/stop", json={"runtime_id": sandbox["runtime_id"]}))
    deadline = time.monotonic() + 60
    while (response := client.get(f"/sessions/{session_id}")).status_code != 404:
        answer(response)
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


def check(gateway: str, certificate: Path | None, api_key: str, image: str, start_timeout: float) -> None:
    """The whole test. Raises CheckFailed, or httpx.HTTPError when the gateway cannot be reached."""
    session_id = f"helm-test-{uuid.uuid4()}"
    request: dict[str, Any] = {
        "image": image,
        "command": COMMAND,
        "working_dir": WORKING_DIR,
        "environment": {},
        "session_id": session_id,
        "run_as_user": 10001,
        "fs_group": 10001,
        "image_pull_policy": "IfNotPresent",
        "runtime_class": "sysbox-runc",
    }
    headers, verify = {"X-API-Key": api_key}, trust(certificate)
    with httpx.Client(base_url=gateway, headers=headers, verify=verify, timeout=30, trust_env=False) as client:
        say(f"Starting a sandbox from {image} through {gateway}")
        sandbox = answer(client.post("/start", json=request))
        try:
            missing = [name for name in ("runtime_id", "url", "session_api_key") if not sandbox.get(name)]
            if missing:
                raise CheckFailed(f"the answer to /start lacks {', '.join(missing)}")
            say(f"  runtime_id={sandbox['runtime_id']} url={sandbox['url']}")
            wait_ready(client, session_id, start_timeout)
            say("Running a command in it")
            run_command(client, sandbox)
        except (CheckFailed, httpx.HTTPError):
            with contextlib.suppress(CheckFailed, httpx.HTTPError, KeyError):  # what is told is the first failure
                stop(client, sandbox, session_id)
            raise
        say("Stopping it")
        stop(client, sandbox, session_id)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", required=True, help="URL of the gateway")
    parser.add_argument("--certificate", type=Path, help="file with the certificate of a gateway with TLS")
    parser.add_argument("--api-key-file", required=True, type=Path, help="file with the API key")
    parser.add_argument("--image", required=True, help="image of an OpenHands agent server")
    parser.add_argument("--start-timeout", default=240, type=float, help="seconds that the start may take")
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        api_key = arguments.api_key_file.read_text().strip()
        check(arguments.gateway, arguments.certificate, api_key, arguments.image, arguments.start_timeout)
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

"""The script of `helm test`, against a gateway of the test's own with injected faults."""

import importlib.util
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unit.helm.rendering import CHART
from unit.sandbox_gateway.mounted_tls import MountedSecret, Pair, handshake

KEY = "the-api-key-of-this-test"
SESSION_KEY = "the-session-key-of-this-test"
ID = "sb-abc"
WHY = {"type": "Warning", "reason": "Unschedulable", "message": "Insufficient memory"}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_installation", CHART / "files" / "check_installation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Gateway:
    """What the stand-in answers, and what it was asked."""

    url: str = ""
    polls: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"status": "starting", "pod_status": "pending"},
            {"status": "running", "pod_status": "ready"},
        ]
    )
    start: tuple[int, Any] = (
        200,
        {"runtime_id": ID, "url": "http://sb-abc.boxes.example", "session_api_key": SESSION_KEY},
    )
    command: tuple[int, Any] = (200, {"exit_code": 0, "stdout": "six times seven is 42\n", "stderr": ""})
    stop: tuple[int, Any] = (200, {"status": "stopped"})
    stopped: bool = False
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list[tuple[str, dict[str, str], Any]])

    def answer(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        self.requests.append((path, headers, body))
        if path == "/api/bash/execute_bash_command":
            return self.command
        if headers.get("x-api-key") != KEY:
            return 401, {"detail": "no such key"}
        if path == "/start":
            return self.start
        if path == "/stop":
            self.stopped = True
            return self.stop
        if self.stopped:
            return 404, {"detail": "no such session"}
        return 200, self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]

    def asked(self, wanted: str) -> tuple[dict[str, str], Any]:
        """Headers and body of the one request to this path."""
        [found] = [(headers, body) for path, headers, body in self.requests if path == wanted]
        return found


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = gateway.answer(self.path, headers, body)
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = handle_any

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        gateway.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield gateway
        server.shutdown()
        thread.join()


@dataclass
class Check:
    """The script, ready to run in this process."""

    script: ModuleType
    key_file: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, url: str, start_timeout: float = 30) -> tuple[int, str]:
        """Exit code and output."""
        arguments = ["check", f"--gateway={url}", f"--api-key-file={self.key_file}", "--image=the-image:1"]
        self.monkeypatch.setattr(sys, "argv", [*arguments, f"--start-timeout={start_timeout}"])
        self.monkeypatch.setattr(self.script, "POLL_SECONDS", 0.01)
        code = self.script.main()
        return code, self.capsys.readouterr().out


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    key_file = tmp_path / "api-key"
    key_file.write_text(f"{KEY}\n")
    return Check(load_script(), key_file, monkeypatch, capsys)


def test_it_passes_and_cleans_up(gateway: Gateway, check: Check) -> None:
    code, output = check.run(gateway.url)
    assert code == 0
    assert "PASSED" in output
    assert gateway.stopped
    assert KEY not in output
    assert SESSION_KEY not in output


def test_it_asks_as_the_sdk_does(gateway: Gateway, check: Check) -> None:
    check.run(gateway.url)
    _, start = gateway.asked("/start")
    assert start["image"] == "the-image:1"
    assert start["runtime_class"] == "sysbox-runc"
    assert start["session_id"].startswith("helm-test-")
    headers, _ = gateway.asked("/api/bash/execute_bash_command")
    assert headers["host"] == "sb-abc.boxes.example", "the URL's host chooses the sandbox in host mode"
    assert headers["x-session-api-key"] == SESSION_KEY
    assert gateway.asked("/stop")[1] == {"runtime_id": ID}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"start": (503, {"detail": "no API server"})}, "no API server"),
    ({"start": (200, b"<html>")}, "something else than JSON"),
    ({"start": (200, [])}, "something else than a JSON object"),
    ({"start": (200, {"runtime_id": ID})}, "lacks url, session_api_key"),
    (
        {"polls": [{"status": "error", "pod_status": "failed", "pod_logs": "ImagePullBackOff: the-image:1"}]},
        "ImagePullBackOff: the-image:1",
    ),
    ({"command": (200, {"exit_code": 1, "stdout": "", "stderr": "no shell"})}, "no shell"),
    ({"command": (200, {"exit_code": 0, "stdout": "something else"})}, "not the expected one"),
    ({"command": (401, {"detail": "Unauthorized"})}, "Unauthorized"),
    ({"stop": (500, {"detail": "cannot stop"})}, "cannot stop"),
]


@pytest.mark.parametrize(("fault", "told"), FAULTS, ids=[told for _, told in FAULTS])
def test_a_fault_is_told(gateway: Gateway, check: Check, fault: dict[str, Any], told: str) -> None:
    for name, value in fault.items():
        setattr(gateway, name, value)
    code, output = check.run(gateway.url)
    assert code == 1
    assert "FAILED" in output
    assert told in output
    started = gateway.start[0] == 200 and isinstance(gateway.start[1], dict)
    assert gateway.stopped is started, "what was started must not be left behind"


def test_a_start_that_takes_too_long_is_told(gateway: Gateway, check: Check) -> None:
    gateway.polls = [{"status": "starting", "pod_status": "pending", "events": [WHY]}]
    code, output = check.run(gateway.url, start_timeout=0.1)
    assert code == 1
    assert "not ready after" in output
    assert "Unschedulable: Insufficient memory" in output
    assert gateway.stopped


def test_a_wrong_key_is_told(gateway: Gateway, check: Check) -> None:
    check.key_file.write_text("another-key")
    code, output = check.run(gateway.url)
    assert code == 1
    assert "401" in output
    assert "another-key" not in output


def test_just_the_gateways_certificate_is_trusted_under_any_name(tmp_path: Path) -> None:
    trust = load_script().trust
    assert trust(None) is True
    shown, other = Pair.make(tmp_path), Pair.make(tmp_path)
    for name, pair in (("shown", shown), ("other", other)):
        MountedSecret(tmp_path / name).store(pair.certificate, pair.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "shown" / "tls.crt", tmp_path / "shown" / "tls.key")
    assert handshake(trust(tmp_path / "shown" / "tls.crt"), server, "demo-gateway.agents.svc")
    assert not handshake(trust(tmp_path / "other" / "tls.crt"), server, "demo-gateway.agents.svc")


def test_a_gateway_that_is_not_there_is_told(check: Check) -> None:
    code, output = check.run("http://127.0.0.1:1")
    assert code == 1
    assert "cannot be reached" in output

"""The script of `helm test`, against a gateway of the test's own with injected faults."""

import importlib.util
import json
import re
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

from unit.helm.rendering import CHART, Helm, find, pod_templates
from unit.sandbox_gateway.mounted_tls import MountedSecret, Pair, handshake

KEY = "the-api-key-of-this-test"
SESSION_KEY = "the-session-key-of-this-test"
ID = "sb-abc"
POOL = "the-pool"
READY: dict[str, Any] = {"status": "running", "pod_status": "ready", "events": []}
WHY = {"type": "Warning", "reason": "Unschedulable", "message": "Insufficient memory"}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_installation", CHART / "files" / "check_installation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STARTED = {"runtime_id": ID, "url": "http://sb-abc.boxes.example", "session_api_key": SESSION_KEY}


def starting(reason: str, message: str = "") -> dict[str, Any]:
    events = [{"type": "Normal", "reason": reason, "message": message}]
    return {"status": "starting", "pod_status": "pending", "events": events}


@dataclass
class Gateway:
    """What the stand-in answers, and what it was asked."""

    url: str = ""
    polls: list[dict[str, Any] | None] = field(
        default_factory=lambda: [None, starting("Pending"), starting("Starting", "pulls the-image:1"), READY]
    )
    """For each start; the last one is repeated."""
    start: tuple[int, Any] = (200, STARTED)
    ready: int = 1
    """Pods of the test's pool."""
    pools: tuple[str, ...] = ("another", POOL)
    launch: str = ""
    """Of all sandboxes, whatever they are asked for."""
    rate: int = 0
    """How many calls of each kind are refused before one is answered."""
    command: tuple[int, Any] = (200, {"exit_code": 0, "stdout": "six times seven is 42\n", "stderr": ""})
    stop: tuple[int, Any] = (200, {"status": "stopped"})
    running: bool = False
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list[tuple[str, dict[str, str], Any]])

    def answer(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        path, _, query = path.partition("?")
        self.requests.append((path, headers, body))
        if path == "/api/bash/execute_bash_command":
            return self.command
        if headers.get("x-api-key") != KEY:
            return 401, {"detail": "no such key"}
        if sum(path == asked for asked, _, _ in self.requests) <= self.rate:
            return 429, {"detail": "too many"}
        match path:
            case "/start":
                self.running = self.start[0] == 200 and isinstance(self.start[1], dict)
                self._left = list(self.polls)
                self._warm = body["environment"] == {} and self.ready > 0
                return self.start
            case "/stop":
                self.running = False
                return self.stop
            case "/sessions/batch":
                assert query.startswith("ids=helm-test-")
                if not self.running:
                    return 200, [None]
                return 200, [self._left.pop(0) if len(self._left) > 1 else self._left[0]]
            case "/api/warm-runtime-configs":
                return 200, {"configs": [{"name": name, "ready": self.ready} for name in self.pools]}
            case _:
                assert path == f"/explain/{ID}"
                evidence = {"source": "launch", "text": "the pods differ"}
                return 200, {"launch": self.launch or ("Warm" if self._warm else "Cold"), "evidence": [evidence]}

    def asked(self, wanted: str) -> list[tuple[dict[str, str], Any]]:
        """Headers and body of each request to this path."""
        return [(headers, body) for path, headers, body in self.requests if path == wanted]


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
            if status == 429:
                self.send_header("Retry-After", "0")
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

    def run(self, url: str, start_timeout: float = 30, starts: int = 1) -> tuple[int, str]:
        """Exit code and output."""
        arguments = ["check", f"--gateway={url}", f"--api-key-file={self.key_file}", "--image=the-image:1"]
        arguments += [f"--pool={POOL}", f"--starts={starts}", f"--start-timeout={start_timeout}"]
        self.monkeypatch.setattr(sys, "argv", arguments)
        self.monkeypatch.setattr(self.script, "POLL_SECONDS", 0.01)
        self.monkeypatch.setattr(self.script, "POOL_SECONDS", 0)
        self.monkeypatch.setattr(self.script, "REPORT_SECONDS", 0)
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
    assert not gateway.running
    assert len(gateway.asked("/stop")) == 2
    assert KEY not in output
    assert SESSION_KEY not in output


def test_it_asks_as_the_sdk_does(gateway: Gateway, check: Check) -> None:
    check.run(gateway.url)
    for _, start in gateway.asked("/start"):
        assert start["image"] == "the-image:1"
        assert start["runtime_class"] == "sysbox-runc"
        assert start["session_id"].startswith("helm-test-")
    for headers, _ in gateway.asked("/api/bash/execute_bash_command"):
        assert headers["host"] == "sb-abc.boxes.example", "the URL's host chooses the sandbox in host mode"
        assert headers["x-session-api-key"] == SESSION_KEY
    assert [body for _, body in gateway.asked("/stop")] == [{"runtime_id": ID}] * 2


def test_cold_starts_fit_no_pool_and_warm_ones_the_pool(gateway: Gateway, check: Check) -> None:
    check.run(gateway.url, starts=3)
    environments = [json.dumps(start["environment"]) for _, start in gateway.asked("/start")]
    assert environments[3:] == ["{}"] * 3
    assert len(set(environments)) == 4


def test_times_are_told_with_medians_and_the_slowest_step(gateway: Gateway, check: Check) -> None:
    _, output = check.run(gateway.url, starts=3)
    assert "Starting: pulls the-image:1" in output
    number, steps = r"\d+\.\d\d", "(Request|Pending|Starting|Command)"
    for launch in ("Cold", "Warm"):
        line = rf"  {launch} +{number} s \({number} to {number}, median of 3\); slowest step: {steps}, {number} s"
        assert re.search(line, output), output


@pytest.mark.parametrize(
    ("values", "class_name"),
    [
        ({}, "default"),
        ({"gateway": {"sandboxClass": "large"}, "fullnameOverride": "x" * 50}, "large"),
        ({"apiKey": {"classes": ["small", "large"]}}, "small"),
    ],
)
def test_the_pool_is_what_warm_starts_ask_for(helm: Helm, values: dict[str, Any], class_name: str) -> None:
    rendered = helm.render(values)
    pool, script = find(rendered, "SandboxPool"), load_script()
    [container] = pod_templates(rendered)["test"]["spec"]["containers"]
    name, image = pool["metadata"]["name"], pool["spec"]["image"]
    assert {f"--pool={name}", f"--image={image}"} <= set(container["command"])
    assert len(name) <= 50
    assert {**pool["spec"], "image": ""} == {
        "image": "",
        "command": script.COMMAND.split(),
        "workingDir": script.WORKING_DIR,
        "runtimeClassName": script.RUNTIME_CLASS,
        "className": class_name,
        "replicas": 1,
    }


def start(script: ModuleType, **steps: float) -> Any:
    return script.Start("Cold", "", steps)


def test_a_step_that_one_start_lacks_took_no_time_in_it() -> None:
    script = load_script()
    starts = [start(script, Pull=9, Boot=5), start(script, Boot=5.5), start(script, Boot=6)]
    assert (
        script.summary("Cold", starts) == "  Cold     6.00 s (5.50 to 14.00, median of 3); slowest step: Boot, 5.50 s"
    )
    assert script.summary("Warm", starts[:1]) == "  Warm    14.00 s (one start); slowest step: Pull, 9.00 s"


def test_a_pool_without_a_pod_is_told_and_is_no_failure(gateway: Gateway, check: Check) -> None:
    gateway.ready = 0
    code, output = check.run(gateway.url)
    assert code == 0
    assert f"No warm start: SandboxPool {POOL} has no ready pod" in output
    assert "  Cold " in output
    assert "  Warm " not in output


def test_a_start_that_was_not_warm_counts_as_what_it_was(gateway: Gateway, check: Check) -> None:
    gateway.launch = "Cold"
    code, output = check.run(gateway.url)
    assert code == 0
    assert "It was not warm. the pods differ" in output
    assert "median of 2" in output
    assert "  Warm " not in output


def test_a_key_with_a_limited_rate_is_enough(gateway: Gateway, check: Check) -> None:
    gateway.rate = 2
    code, output = check.run(gateway.url)
    assert code == 0
    assert "POST /start waits for 0 s, so the times are longer: too many" in output


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
    assert not gateway.running, "what was started must not be left behind"


def test_a_start_that_takes_too_long_is_told(gateway: Gateway, check: Check) -> None:
    gateway.polls = [{"status": "starting", "pod_status": "pending", "events": [WHY]}]
    code, output = check.run(gateway.url, start_timeout=1)
    assert code == 1
    assert "not ready after" in output
    assert "Unschedulable: Insufficient memory" in output
    assert not gateway.running


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

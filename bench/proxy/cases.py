"""What is asked of each proxy."""

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.proxy.backend import LARGE_BYTES
from bench.proxy.clients import HEADERS
from bench.proxy.ours import SESSION_KEYS
from bench.proxy.servers import Target, beside, module

_MIB = 1024 * 1024
_LARGE_SECONDS = 60.0
_PATIENCE_SECONDS = 60.0
_POST_BODY = '{"command": "pytest -q tests", "cwd": "/workspace", "timeout": 30}'
_SHARE = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s)\s*$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
_DONE = re.compile(r"^\s+(\d+) requests in", re.MULTILINE)
_WRONG = re.compile(r"^\s+(Non-2xx or 3xx responses: \d+|Socket errors: .*)$", re.MULTILINE)
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Run:
    """`rate` in the case's unit a second, waits in ms, `cpu` of the proxy in µs for each unit; NaN-free."""

    rate: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Case:
    """`run(target, seconds)` gives rate, p50, p99 and how many units were done."""

    title: str
    unit: str
    run: Callable[[Target, float], tuple[float, float, float, float]]
    naive: bool = True
    """Whether the naive gateway is worth the time."""

    def measure(self, target: Target, seconds: float) -> Run:
        """One run. Raises RuntimeError when anything went wrong."""
        before = target.cpu()
        rate, p50, p99, done = self.run(target, seconds)
        return Run(rate, p50, p99, 1e6 * (target.cpu() - before) / done)


def parse_wrk(text: str) -> tuple[float, float, float, float]:
    """(requests a second, p50 and p99 in ms, requests) from what wrk prints. Raises RuntimeError for errors."""
    wrong = _WRONG.search(text)
    rate, done = _RATE.search(text), _DONE.search(text)
    shares = {match[1]: float(match[2]) * _MILLISECONDS[match[3]] for match in _SHARE.finditer(text)}
    if wrong or rate is None or done is None or shares.keys() != {"50", "99"}:
        raise RuntimeError(f"wrk: {wrong[1] if wrong else text}")
    return float(rate[1]), shares["50"], shares["99"], float(done[1])


def _requests(
    connections: int, path: str = "/small", *, body: str = "", backend: str = "http", vary: bool = False
) -> Callable[..., tuple[float, float, float, float]]:
    fields = HEADERS | {"X-Session-API-Key": SESSION_KEYS[backend]}
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in fields.items()]
    if vary:
        lines += ["n = 0", f'request = function() n = n + 1; return wrk.format(nil, "{path}/" .. n) end']
    if body:
        lines += ['wrk.method = "POST"', f"wrk.body = [[{body}]]"]

    def run(target: Target, seconds: float) -> tuple[float, float, float, float]:
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write("\n".join(lines))
            script.flush()
            # A request that takes longer is an error to wrk; of the naive gateway, many do.
            command = [
                "wrk",
                "--threads=1",
                f"--timeout={round(_PATIENCE_SECONDS)}s",
                f"--connections={connections}",
                f"--duration={max(1, round(seconds))}s",
            ]
            url = f"http://127.0.0.1:{target.ports[backend]}{path}"
            return parse_wrk(_said(beside([*command, "--latency", f"--script={script.name}", url]), seconds))

    return run


def _large(*, upload: bool) -> Callable[..., tuple[float, float, float, float]]:
    def run(target: Target, seconds: float) -> tuple[float, float, float, float]:
        del seconds  # one body takes as long as it takes
        command = ["curl", "--silent", "--fail", "--output", "/dev/null", "--write-out", "%{time_total}"]
        backend, path = ("sink", "/sink") if upload else ("http", "/large")
        command += ["--header", f"X-Session-API-Key: {SESSION_KEYS[backend]}", "--header", "Expect:"]
        command += ["--upload-file", str(target.large)] if upload else []
        command.append(f"http://127.0.0.1:{target.ports[backend]}{path}")
        taken = float(_said(beside(command), _LARGE_SECONDS))
        return LARGE_BYTES / _MIB / taken, 1000 * taken, 1000 * taken, LARGE_BYTES / _MIB

    return run


def _client(what: str, *arguments: object, websocket: bool = False) -> Callable[..., tuple[float, float, float, float]]:
    def run(target: Target, seconds: float) -> tuple[float, float, float, float]:
        port = target.ports["websocket" if websocket else "http"]
        seen = json.loads(_said(beside(module("clients", what, port, *arguments, seconds)), seconds))
        if seen["errors"]:
            raise RuntimeError(f"{target.name}: {seen['errors']} requests found no free connection")
        # The clients leave out the first fourth.
        return seen["rate"], seen["p50"], seen["p99"], seen["rate"] * seconds * (1.25 if websocket else 1)

    return run


def _said(command: list[str], seconds: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _PATIENCE_SECONDS)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


STEADY = "steady"
"""Its rate is given, and says nothing; what counts is how long requests take."""

CASES: Mapping[str, Case] = {
    "get-32": Case("GET, 32 connections", "requests", _requests(32)),
    "get-128": Case("GET, 128 connections", "requests", _requests(128)),
    "varied-32": Case("GET, each with another path, 32 connections", "requests", _requests(32, vary=True)),
    "post-32": Case("POST of 66 bytes, 32 connections", "requests", _requests(32, body=_POST_BODY)),
    "uvicorn-32": Case("GET from uvicorn, 32 connections", "requests", _requests(32, "/hello", backend="hello")),
    "uvicorn-128": Case("GET from uvicorn, 128 connections", "requests", _requests(128, "/hello", backend="hello")),
    "64KiB": Case("GET of 64 KiB, 32 connections", "requests", _requests(32, "/medium")),
    "1GiB": Case("GET of 1 GiB", "MiB", _large(upload=False), naive=False),
    "1GiB-up": Case("PUT of 1 GiB", "MiB", _large(upload=True), naive=False),
    "echo-100B": Case("WebSocket echo of 100 B, 32 sockets", "messages", _client("echoes", 32, 100, websocket=True)),
    "echo-64KiB": Case(
        "WebSocket echo of 64 KiB, 8 sockets", "messages", _client("echoes", 8, 64 * 1024, websocket=True)
    ),
    "echo-1MiB": Case("WebSocket echo of 1 MiB, 4 sockets", "messages", _client("echoes", 4, _MIB, websocket=True)),
    STEADY: Case("GET, 1,000 a second", "requests", _client("steady", 1000), naive=False),
}

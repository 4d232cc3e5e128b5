"""The processes of the comparison: each proxy alone on one core, everything else on the other."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.proxy.backend import nginx_backend, temporary_paths
from bench.proxy.ours import BACKENDS, SESSION_KEYS
from images.compiled import compiled
from local_cluster.control_plane import DIE_WITH_PARENT
from local_cluster.ports import free_port

NGINX, OURS, NAIVE, DIRECT = "nginx", "ours", "naive", "direct"

_PROXY_CORE, _OTHER_CORE = "0", "1"
_START_SECONDS = 30
_TICKS = os.sysconf("SC_CLK_TCK")
_TOOLS = {"nginx": "nginx-light", "wrk": "wrk", "curl": "curl", "taskset": "util-linux"}

_NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log warn;
events {{ worker_connections 16000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600; client_max_body_size 0; tcp_nodelay on;
  {temporary}
  upstream http_backend {{ server 127.0.0.1:{http}; keepalive 256; keepalive_requests 1000000000; }}
  upstream websocket_backend {{ server 127.0.0.1:{websocket}; }}
  upstream hello {{ server 127.0.0.1:{hello}; keepalive 256; keepalive_requests 1000000000; }}
  upstream sink {{ server 127.0.0.1:{sink}; }}
  proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
  proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://http_backend; proxy_set_header Connection ""; }}
    location /hello {{ proxy_pass http://hello; proxy_set_header Connection ""; }}
    location /sink {{ proxy_pass http://sink; proxy_set_header Connection ""; }}
    location /websocket {{
      proxy_pass http://websocket_backend;
      proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade;
    }}
  }}
}}
"""
"""A plain reverse proxy: it streams as ours does, sets the same fields, and keeps connections on both sides."""


class MissingToolError(Exception):
    """A program that the comparison needs is not installed; the text says which package has it."""


@dataclass(frozen=True)
class Target:
    """Where clients connect, and which process is measured."""

    name: str
    ports: Mapping[str, int]
    """Where each backend is reached."""
    pid: int
    large: Path
    """A file to upload."""

    def cpu(self) -> float:
        """CPU seconds so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> float:
        """Its own share of memory (PSS), in KiB."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def require_tools() -> None:
    """Raises MissingToolError."""
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise MissingToolError(f"missing programs: apt-get install {' '.join(sorted(set(missing)))}")


def beside(command: Sequence[str]) -> list[str]:
    """A command for the core that no proxy is on."""
    return ["taskset", "--cpu-list", _OTHER_CORE, *command]


def module(name: str, *arguments: object) -> list[str]:
    """A module of this package as a command."""
    return [sys.executable, "-m", f"bench.proxy.{name}", *map(str, arguments)]


@contextmanager
def targets(directory: Path, names: Sequence[str]) -> Generator[list[Target]]:
    """These, in front of one backend, until the context ends. Ours is compiled, as in the image.

    Raises RuntimeError when one does not start, and ClusterError.
    """
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # for all that is started from here
    with ExitStack() as stack:
        behind = {name: free_port() for name in BACKENDS}
        place = _made(directory / "backend")
        nginx = _running(beside(nginx_backend(place, behind["http"])), place / "nginx.log", behind["http"])
        backend = stack.enter_context(nginx)
        hello = beside(module("hello", behind["hello"]))
        stack.enter_context(_running(hello, place / "hello.log", behind["hello"]))
        others = beside(module("backend", behind["websocket"], behind["sink"]))
        stack.enter_context(_running(others, place / "others.log", behind["websocket"]))
        large = place / "files" / "large"
        found: list[Target] = []
        for name in names:
            if name == DIRECT:
                found.append(Target(name, behind, backend, large))
                continue
            port, place = free_port(), _made(directory / name)
            pid = stack.enter_context(_running(_alone(_command(name, place, port, behind)), place / "log", port))
            _prove(name, port)
            found.append(Target(name, dict.fromkeys(BACKENDS, port), pid, large))
        yield found


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _alone(command: Sequence[str]) -> list[str]:
    return ["taskset", "--cpu-list", _PROXY_CORE, *command]


def _command(name: str, directory: Path, port: int, behind: Mapping[str, int]) -> list[str]:
    if name == OURS:
        path = f"PYTHONPATH={compiled()}:{os.environ.get('PYTHONPATH', '')}"
        return ["env", path, *module(name, port, *behind.values())]
    if name != NGINX:
        return module(name, port, *behind.values())
    configuration = directory / "nginx.conf"
    text = _NGINX.format(directory=directory, temporary=temporary_paths(directory), port=port, **behind)
    configuration.write_text(text)
    return ["nginx", "-c", str(configuration), "-p", str(directory), "-e", str(directory / "error.log")]


@contextmanager
def _running(command: Sequence[str], log: Path, port: int) -> Generator[int]:
    """Its pid: setpriv and taskset become the program itself."""
    with log.open("wb") as output:
        process = subprocess.Popen([*DIE_WITH_PARENT, *command], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} does not serve:\n{log.read_text()}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/small", trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def _prove(name: str, port: int) -> None:
    url = f"http://127.0.0.1:{port}/small"
    answer = httpx.get(url, headers={"X-Session-API-Key": SESSION_KEYS["http"]}, trust_env=False)
    if answer.status_code != 200:
        raise RuntimeError(f"{name} answers {answer.status_code}: {answer.text}")

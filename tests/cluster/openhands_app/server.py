"""OpenHands' own app, its server as it comes from PyPI, with a gateway as the Runtime API of its sandboxes.

It runs on this machine, in the node's network namespace and with the cluster's DNS: so it reaches sandboxes by the host
names that the gateway gives them, and they reach its webhooks. Its database is SQLite below `home`.
"""

import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cluster.support import eventually
from demo.outside import environment
from demo.release import Release
from local_cluster.network import NODE_ADDRESS, Namespace
from local_cluster.node import DNS_IP
from local_cluster.paths import ROOT, State
from local_cluster.progress import Progress

LOCK = Path(__file__).with_name("requirements.lock.txt")
FREE_PORT = "import socket; print(socket.create_server(('', 0)).getsockname()[1])"
BOOT_SECONDS = 300
"""Most of it is the import of its language model library."""


@dataclass(frozen=True)
class App:
    """The app, as its own web page uses it. `url` is its address, for pods too."""

    url: str
    api: httpx.Client

    def call(self, method: str, path: str, **more: Any) -> Any:
        """What a call of its API answers, which must be a success."""
        answer = self.api.request(method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def sandboxes(self, *ids: str) -> list[dict[str, Any] | None]:
        return self.call("GET", "/sandboxes", params={"id": ids})

    def await_status(self, sandbox_id: str, status: str, seconds: float = 120) -> dict[str, Any]:
        """The sandbox once it is so; the app commits after it has answered."""
        [found] = eventually(
            lambda: self.sandboxes(sandbox_id), lambda seen: bool(seen[0] and seen[0]["status"] == status), seconds
        )
        return found or {}

    def await_gone(self, sandbox_id: str) -> None:
        """Return once it has forgotten the sandbox."""
        eventually(lambda: self.sandboxes(sandbox_id), lambda seen: seen == [None])

    def accepts(self, key: str) -> bool:
        """Whether it takes this for the session key of a sandbox that runs, as it asks before it gives out secrets."""
        answer = self.api.get("/sandboxes/any/settings/secrets", headers={"X-Session-API-Key": key})
        assert answer.status_code in {401, 403}, answer.text
        return answer.status_code == 403


def free_address() -> str:
    """`host:port` at which nothing listens in the node's network namespace."""
    port = Namespace(State.from_environment().namespace).run(["python3", "-c", FREE_PORT]).strip()
    return f"{NODE_ADDRESS}:{port}"


@contextmanager
def running(release: Release, address: str, home: Path, progress: Progress) -> Generator[App]:
    """The app at this address, while the context lasts."""
    python = environment(progress, ROOT / ".venv-app", LOCK)
    host, _, port = address.partition(":")
    repository, _, tag = release.images.agent_server.rpartition(":")
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "OH_PERSISTENCE_DIR": str(home),
        "OH_WEB_URL": f"http://{address}",
        "RUNTIME": "remote",
        "SANDBOX_REMOTE_RUNTIME_API_URL": release.url,
        "SANDBOX_API_KEY": release.api_key(),
        "AGENT_SERVER_IMAGE_REPOSITORY": repository,
        "AGENT_SERVER_IMAGE_TAG": tag,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENHANDS_SUPPRESS_BANNER": "1",
    }
    names = home / "resolv.conf"
    names.write_text(f"nameserver {DNS_IP}\n")
    inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(names)]
    server = [str(python), "-m", "uvicorn", "openhands.app_server.app:app", "--host", host, "--port", port]
    enter = Namespace(State.from_environment().namespace).enter
    log = home / "app.log"
    with (
        log.open("wb") as out,
        subprocess.Popen([*enter, *inside, *server], env=variables, stdout=out, stderr=out, cwd=home) as process,
        httpx.Client(base_url=f"http://{address}/api/v1", timeout=60, trust_env=False) as api,
    ):
        try:
            with progress.step("start OpenHands' app"):
                await_answer(api, process, log)
            yield App(f"http://{address}", api)
        finally:
            process.terminate()


def await_answer(api: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            api.get("/sandboxes/search").raise_for_status()
            return
        except httpx.TransportError:
            ended = process.poll() is not None or time.monotonic() > deadline
            assert not ended, f"the app does not start:\n{log.read_text()[-4000:]}"
            time.sleep(0.25)

"""Real agent servers on this machine that boot dormant, and are initialized as the operator does it."""

import asyncio
import os
import subprocess
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from local_cluster.ports import free_port
from sandbox_common.environment import is_reserved
from sandbox_common.keys import MasterKeys
from sandbox_crds.models import Sandbox, SandboxClass, SandboxSpec
from sandbox_operator.agents.agent_server import Address, AgentServers, InitError
from sandbox_operator.pools.boot_variables import is_read_at_boot
from sandbox_operator.pools.deferred import fixed_differences, init_body

BOOT_SECONDS = 300
KEYS = MasterKeys.of({1: b"k" * 32})
KEY_ID = KEYS.key_id("pod")
CLASS = SandboxClass()

RECORDER = textwrap.dedent("""
    import os

    seen, log, environ = set(), os.environ["RECORDED"], type(os.environ)
    get = environ.__getitem__

    def record(self, name):
        if name not in seen:
            seen.add(name)
            with open(log, "a") as out:
                out.write(f"{name}\\n")
        return get(self, name)

    environ.__getitem__ = record
""")
MODEL = "/v1"
"""Path of a model that takes no key."""
READ_EACH_TIME = {"COLUMNS", "LINES", "REQUEST_METHOD", "ANDROID_DATA", "LMNR_PROJECT_API_KEY"}
"""Read while booting, and again whenever they matter."""


CLIENT = {
    "POOL": "of the client",
    "GITHUB_TOKEN": "töken with 'quotes' = and $signs",
    "EMPTY": "",
    "OH_CONVERSATIONS_PATH": "elsewhere/conversations",
    "OH_BASH_EVENTS_DIR": "elsewhere/bash_events",
    "OH_MAX_CONCURRENT_RUNS": "2",
    "OH_WEBHOOKS_0_HEADERS": '{"X-Token": "t"}',
    "OH_WEBHOOKS_0_EVENT_BUFFER_SIZE": "1",
    # A server that ends would try for long to reach a receiver that has ended before it.
    "OH_WEBHOOKS_0_NUM_RETRIES": "0",
}


@dataclass(frozen=True)
class Server:
    """An agent server on this machine, with the files it makes in `home`."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address("127.0.0.1", self.port, "", "")

    @property
    def sandbox(self) -> Sandbox:
        """A Sandbox whose agent server listens at this port."""
        return Sandbox(spec=SandboxSpec(image="any", command=["agent-server", "--port", str(self.port)]))

    @property
    def http(self) -> httpx.Client:
        """A client with the session key."""
        headers = {"X-Session-API-Key": KEYS.session_key(KEY_ID)}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60, trust_env=False)

    def await_boot(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            assert self.process.poll() is None, (self.home / "log").read_text()[-2000:]
            try:
                with self.http as http:
                    if http.get("/health").status_code == 200:
                        return
            except httpx.TransportError:
                assert time.monotonic() < deadline, "it does not boot"
            time.sleep(0.2)

    def variables(self) -> set[str]:
        """The environment of a command, as `NAME=value`."""
        with self.http as http:
            answer = http.post("/api/bash/execute_bash_command", json={"command": "env", "cwd": str(self.home)})
            assert answer.status_code == 200, answer.text
            return set(answer.json()["stdout"].splitlines())


type Boot = Callable[[Mapping[str, str]], Server]


@pytest.fixture
def boot(sdk: Path, tmp_path: Path) -> Iterator[Boot]:
    """Begins to boot an agent server with this environment, in a directory of its own."""
    with ExitStack() as stack:

        def begin(environment: Mapping[str, str]) -> Server:
            port = free_port()
            home = tmp_path / str(port)
            home.mkdir()
            env = {
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "TMUX_TMPDIR": "/tmp",
                "OH_ENABLE_VSCODE": "0",
                "OH_PRELOAD_TOOLS": "0",
                "OH_PERSISTENCE_DIR": str(home / "kept"),
                "OPENHANDS_SUPPRESS_BANNER": "1",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "OH_SESSION_API_KEYS_0": KEYS.session_key(KEY_ID),
                "SESSION_API_KEY": KEYS.session_key(KEY_ID),
                "OH_SECRET_KEY": KEYS.secret_key(KEY_ID),
                **environment,
            }
            command = [str(sdk), "-m", "openhands.agent_server", "--host=127.0.0.1", f"--port={port}"]
            with (home / "log").open("wb") as log:
                process = subprocess.Popen(command, env=env, cwd=home, stdout=log, stderr=subprocess.STDOUT)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            return Server(home, port, process)

        yield begin


@pytest.fixture
async def agents() -> AsyncIterator[AgentServers]:
    async with AgentServers(KEYS, _at_home) as agents:
        yield agents


async def _at_home(*_: str) -> str:
    """The servers of these tests are in no pods."""
    return ""


@pytest.fixture
async def webhooks() -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
    """A receiver of webhooks: its URL, and path and token of what it was sent. Below MODEL it refuses every key."""
    seen: list[tuple[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("X-Token") or request.headers.get("X-Session-API-Key", "")))
        return web.json_response({}, status=401 if request.path.startswith(MODEL) else 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


async def test_a_late_environment_is_as_good_as_one_from_the_beginning(
    boot: Boot, agents: AgentServers, webhooks: tuple[str, list[tuple[str, str]]]
) -> None:
    url, seen = webhooks
    pool = {"POOL": "of the pool"}
    client = {
        **CLIENT,
        "OH_WEBHOOKS_0_BASE_URL": url,
        "OH_LLM_API_KEY_REFRESH_URL": f"{url}/fresh-key",
        "OH_LLM_API_KEY_REFRESH_BASE_URLS": f"{url}{MODEL}",
        # As the OpenHands app sends it: the agent server puts its own key in.
        "OH_LLM_API_KEY_REFRESH_HEADERS": '{"X-Session-API-Key": "${SESSION_API_KEY}"}',
    }
    dormant, cold = boot({**pool, "OH_DEFERRED_INIT": "true"}), boot(client)
    dormant.await_boot()
    with dormant.http as http:
        assert http.get("/ready").status_code == 200
        assert http.get("/api/conversations/count").status_code == 503

    sandbox = dormant.sandbox
    assert fixed_differences(pool, client, sandbox, CLASS) == ()
    body = init_body(client, sandbox, CLASS)
    async with AgentServers(MasterKeys.of({1: b"w" * 32}), _at_home) as wrong:
        with pytest.raises(InitError, match="401"):
            await wrong.init(dormant.address, KEY_ID, body)
    await agents.init(dormant.address, KEY_ID, body)
    # Who takes over does not know that it has been done.
    await agents.init(dormant.address, KEY_ID, body)

    cold.await_boot()
    for server in (dormant, cold):
        seen.clear()
        conversation = await _converse(server, f"{url}{MODEL}")
        assert (server.home / "elsewhere" / "conversations" / conversation).is_dir()
        async with asyncio.timeout(30):
            while not {(f"/events/{conversation}", "t"), ("/fresh-key", KEYS.session_key(KEY_ID))} <= {*seen}:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    own = {f"HOME={server.home}" for server in (dormant, cold)} | {"OH_DEFERRED_INIT=true"}
    late, early = [await asyncio.to_thread(_comparable, server, own) for server in (dormant, cold)]
    assert late == early
    assert KEYS.session_key(KEY_ID) not in str(late)
    assert {f"{name}={client[name]}" for name in ("POOL", "GITHUB_TOKEN", "EMPTY")} <= late
    assert all(list((server.home / "elsewhere" / "bash_events").iterdir()) for server in (dormant, cold))


async def _converse(server: Server, model_url: str) -> str:
    """Begin a conversation; gives the name of its directory."""
    llm = {"usage_id": "agent", "model": "openai/none", "base_url": model_url, "api_key": "stale", "num_retries": 0}
    body: dict[str, Any] = {
        "agent": {"kind": "Agent", "llm": llm, "tools": []},
        "workspace": {"kind": "LocalWorkspace", "working_dir": str(server.home)},
        "initial_message": {"role": "user", "content": [{"type": "text", "text": "Hello"}], "run": True},
    }
    headers = {"X-Session-API-Key": KEYS.session_key(KEY_ID)}
    async with httpx.AsyncClient(timeout=60, trust_env=False, headers=headers) as http:
        answer = await http.post(f"http://127.0.0.1:{server.port}/api/conversations", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"].replace("-", "")


def _comparable(server: Server, own: set[str]) -> set[str]:
    def depends(entry: str) -> bool:
        return str(server.port) in entry or entry.startswith(("_=", "PWD=", "OLDPWD=", "SHLVL="))

    return {entry for entry in server.variables() - own if not depends(entry)}


def test_all_that_is_read_while_booting_is_known(boot: Boot, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    recorded = tmp_path / "names"
    server = boot({"OH_DEFERRED_INIT": "true", "PYTHONPATH": str(tmp_path), "RECORDED": str(recorded)})
    server.await_boot()
    names = set(recorded.read_text().split()) - READ_EACH_TIME - {"RECORDED"}
    assert len(names) > 300
    # Clients cannot set what is reserved, so that it never differs.
    assert {name for name in names if not (is_read_at_boot(name) or is_reserved(name))} == set()

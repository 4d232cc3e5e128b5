"""What is put off while the agent server starts. Runs the real file, in a process of its own."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_cluster.paths import ROOT

FILE = ROOT / "agent_server_image" / "boot.py"

_AGENT_SERVER = """
import asyncio, contextlib, gc, json, os, socket, sys
import uvicorn
from openhands.agent_server.api import BUILT
from acp.schema import Theirs
class Ours(Theirs.__base__):
    number: int
out = {"built": [model.__pydantic_complete__ for model in (Theirs, Ours)], "imported": gc.get_threshold()}
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        return await send({"type": "http.response.body"})
    message = await receive()
    out["application starts"] = gc.get_threshold()
    await send({"type": "lifespan.startup.complete"})
def ask():
    client = socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=30)
    client.sendall(b"GET /health HTTP/1.1\\r\\nHost: any\\r\\nConnection: close\\r\\n\\r\\n")
    return client
class Server(uvicorn.Server):
    async def main_loop(self):
        out["serves"] = gc.get_threshold()
        out["port"] = self.servers[0].sockets[0].getsockname()
        early = out.pop("early")
        with contextlib.suppress(ConnectionResetError):
            out["answer"] = early and (await asyncio.to_thread(early.recv, 24)).decode()
        out["answer"] = out.get("answer") or (await asyncio.to_thread(ask().recv, 24)).decode()
        out["frozen"] = gc.get_freeze_count()
        out["built the routes"] = BUILT.wait(30)
        self.force_exit = True
def main():
    out["arguments"] = sys.argv[1:]
    out["used"] = Theirs(number="1").number
    out["early"] = None
    with contextlib.suppress(ConnectionRefusedError):
        out["early"] = ask()
    out["listens early"] = bool(out["early"])
    host = "0.0.0.0" if os.environ.get("OH_SESSION_API_KEYS_0") == "a key" else "127.0.0.1"
    Server(uvicorn.Config(app, host=host, port=int(sys.argv[2]), log_level="critical")).run()
    print(json.dumps(out))
"""
"""In place of the real one: it starts uvicorn in the same way."""

_API = """
import threading
from fastapi import APIRouter, FastAPI
BUILT = threading.Event()
class Router(APIRouter):
    def matches(self, scope):
        found = super().matches(scope)
        BUILT.set()
        return found
api, router = FastAPI(), Router()
@router.get("/known")
def known() -> None: ...
api.include_router(router)
"""

_LIBRARY = """
from pydantic import BaseModel
class Theirs(BaseModel):
    number: int
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    package = tmp_path / "openhands" / "agent_server"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(_AGENT_SERVER)
    (package / "api.py").write_text(_API)
    (tmp_path / "acp").mkdir()
    (tmp_path / "acp" / "schema.py").write_text(_LIBRARY)
    return tmp_path


def _run(modules: Path, **variables: str) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"PYTHONPATH": str(modules), **variables}
    done = subprocess.run([sys.executable, FILE, "--port", str(port)], capture_output=True, check=True, env=environment)
    return {"given": port, **json.loads(done.stdout)}


@pytest.fixture
def seen(modules: Path) -> dict[str, Any]:
    return _run(modules, OH_SESSION_API_KEYS_0="a key")


def test_full_collections_begin_when_it_serves(seen: dict[str, Any]) -> None:
    ask = "import gc, json; print(json.dumps(gc.get_threshold()))"
    usual = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True)
    young, middle, full = json.loads(usual.stdout)
    assert seen["imported"] == seen["application starts"] == [young, middle, 1_000_000]
    assert seen["serves"] == [young, middle, full]
    assert seen["frozen"] > 1000


def test_models_of_libraries_are_built_when_they_are_used(seen: dict[str, Any]) -> None:
    assert seen["built"] == [False, True]
    assert seen["used"] == 1


def test_the_routes_are_built_before_the_first_request(seen: dict[str, Any]) -> None:
    assert seen["built the routes"]


def test_a_request_during_the_boot_is_answered_when_it_serves(seen: dict[str, Any]) -> None:
    assert seen["listens early"]
    assert seen["port"] == ["0.0.0.0", seen["given"]]  # noqa: S104
    assert seen["answer"] == "HTTP/1.1 204 No Content\r"


@pytest.mark.parametrize("variables", [{}, {"SESSION_API_KEY": ""}])
def test_without_a_key_nothing_listens_beyond_the_machine(modules: Path, variables: dict[str, str]) -> None:
    seen = _run(modules, **variables)
    assert not seen["listens early"]
    assert seen["port"] == ["127.0.0.1", seen["given"]]
    assert seen["answer"] == "HTTP/1.1 204 No Content\r"


def test_a_key_that_the_agent_server_does_not_take(modules: Path) -> None:
    assert _run(modules, OH_SESSION_API_KEYS_0="another")["port"][0] == "127.0.0.1"


def test_it_has_the_options_that_it_was_started_with(seen: dict[str, Any]) -> None:
    assert seen["arguments"] == ["--port", str(seen["given"])]


@pytest.mark.parametrize("options", [["--port", "many"], ["--port", "70000"], ["--port"], ["--host", "no host"]])
def test_options_that_it_cannot_listen_to_are_left_to_the_agent_server(modules: Path, options: list[str]) -> None:
    (modules / "openhands" / "agent_server" / "__main__.py").write_text("def main():\n    print('reached')\n")
    environment = {"PYTHONPATH": str(modules), "OH_SESSION_API_KEYS_0": "a key"}
    done = subprocess.run([sys.executable, FILE, *options], capture_output=True, check=True, env=environment)
    assert done.stdout == b"reached\n"

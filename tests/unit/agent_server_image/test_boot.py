"""What is put off while the agent server starts. Runs the real file, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local_cluster.paths import ROOT

FILE = ROOT / "agent_server_image" / "boot.py"

_AGENT_SERVER = """
import gc, json, os, sys
import uvicorn
from acp.schema import Theirs
class Ours(Theirs.__base__):
    number: int
out = {"built": [model.__pydantic_complete__ for model in (Theirs, Ours)], "imported": gc.get_threshold()}
async def app(scope, receive, send):
    message = await receive()
    out["application starts"] = gc.get_threshold()
    await send({"type": "lifespan.startup.complete"})
class Server(uvicorn.Server):
    async def main_loop(self):
        out["serves"] = gc.get_threshold()
        out["frozen"] = gc.get_freeze_count()
        self.force_exit = True
def main():
    out["arguments"] = sys.argv[1:]
    out["used"] = Theirs(number="1").number
    Server(uvicorn.Config(app, port=0, log_level="critical")).run()
    print(json.dumps(out))
"""
"""In place of the real one: it starts uvicorn in the same way."""

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
    (tmp_path / "acp").mkdir()
    (tmp_path / "acp" / "schema.py").write_text(_LIBRARY)
    return tmp_path


@pytest.fixture
def seen(modules: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, FILE, "--port", "1"], capture_output=True, check=True, env={"PYTHONPATH": str(modules)}
    )
    return json.loads(done.stdout)


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


def test_it_has_the_options_that_it_was_started_with(seen: dict[str, Any]) -> None:
    assert seen["arguments"] == ["--port", "1"]

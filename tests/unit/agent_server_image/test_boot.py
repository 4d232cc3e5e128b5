"""When Python looks for garbage while the agent server starts. Runs the real file, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local_cluster.paths import ROOT

FILE = ROOT / "agent_server_image" / "boot.py"

_AGENT_SERVER = """
import gc, json, os, sys
import uvicorn
out = {"imported": gc.get_threshold()}
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
    Server(uvicorn.Config(app, port=0, log_level="critical")).run()
    print(json.dumps(out))
"""
"""In place of the real one: it starts uvicorn in the same way."""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    package = tmp_path / "openhands" / "agent_server"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(_AGENT_SERVER)
    return tmp_path


def test_full_collections_begin_when_it_serves(modules: Path) -> None:
    ask = "import gc, json; print(json.dumps(gc.get_threshold()))"
    usual = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True)
    young, middle, full = json.loads(usual.stdout)
    done = subprocess.run(
        [sys.executable, FILE, "--port", "1"], capture_output=True, check=True, env={"PYTHONPATH": str(modules)}
    )
    seen = json.loads(done.stdout)
    assert seen["arguments"] == ["--port", "1"]
    assert seen["imported"] == seen["application starts"] == [young, middle, 1_000_000]
    assert seen["serves"] == [young, middle, full]
    assert seen["frozen"] > 1000

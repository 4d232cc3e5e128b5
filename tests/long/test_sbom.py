"""Bills of material of the images, which name each file of them: minutes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supply_chain.__main__ import write_sboms


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The documents by their names."""
    directory = tmp_path_factory.mktemp("sbom")
    write_sboms(directory, locks_only=False)
    return {path.name: json.loads(path.read_bytes()) for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("openhands-sandbox.cdx.json", {"debian", "python3.13", "openssl", "openhands-sandbox", "kopf", "uvloop"}),
        (
            "openhands-agent-server.cdx.json",
            {"debian", "python3.13", "git", "tini", "openhands-agent-server", "fastapi"},
        ),
    ],
)
def test_an_image_holds_what_its_lock_says_and_debian(written: dict[str, Any], name: str, parts: set[str]) -> None:
    """Another distribution than the lock file has would have ended it before."""
    document = written[name]
    assert parts <= {component["name"] for component in document["components"]}
    assert document["metadata"]["lifecycles"] == [{"phase": "post-build"}]


def test_no_build_tool_is_left_in_the_controller_image(written: dict[str, Any]) -> None:
    names = {component["name"] for component in written["openhands-sandbox.cdx.json"]["components"]}
    assert not names & {"uv", "hatchling", "pip", "setuptools", "python3-venv", "gcc", "curl", "git"}


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    """In two processes, which hash texts differently."""
    here, there = tmp_path / "here", tmp_path / "there"
    write_sboms(here, locks_only=True)
    command = [sys.executable, "-m", "supply_chain", "sbom", "--locks-only", f"--output={there}"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    written = {path.name: path.read_bytes() for path in here.iterdir()}
    assert written == {path.name: path.read_bytes() for path in there.iterdir()}
    assert set(written) == {"openhands-sandbox.cdx.json", "openhands-agent-server.cdx.json", "chart.cdx.json"}

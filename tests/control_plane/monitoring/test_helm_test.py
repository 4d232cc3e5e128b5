"""The script of `helm test` against the real gateway and operator, with a key that allows one sandbox at a time."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from control_plane.gateway.support import API_KEY, add_api_key
from control_plane.monitoring.conftest import POOL, Installation
from sandbox_common.kube import KubeClient
from unit.helm.test_check_installation import load_script

POLICY = {"limits": {"running": 1, "sandboxes": 1}, "classes": ["default"]}
NUMBER = r"\d+\.\d\d"


async def test_it_measures_cold_and_warm_starts_for_what_they_are(
    installation: Installation,
    client: KubeClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await add_api_key(client, installation.basin.namespace, API_KEY, "alice", policy=json.dumps(POLICY))
    (tmp_path / "key").write_text(API_KEY)
    script = load_script()
    monkeypatch.setattr(script, "COMMAND", installation.node.command)
    arguments = [f"--gateway={installation.gateway.url}", f"--api-key-file={tmp_path / 'key'}", "--image=agent:1"]
    monkeypatch.setattr(sys, "argv", ["check", *arguments, f"--pool={POOL}", "--starts=2", "--start-timeout=120"])

    code = await asyncio.to_thread(script.main)

    output = capsys.readouterr().out
    assert code == 0, output
    assert "not warm" not in output
    for launch in ("Cold", "Warm"):
        line = rf"  {launch} +{NUMBER} s \({NUMBER} to {NUMBER}, median of 2\); slowest step: \w+, {NUMBER} s"
        assert re.search(line, output), output

"""The OpenAPI description, tried by schemathesis against a whole gateway on the real API server."""

import asyncio
import sys
from pathlib import Path

import pytest

from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY
from local_cluster.control_plane import ControlPlane
from sampling import count

_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.usefixtures("api_keys")
async def test_the_gateway_does_what_its_description_says(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, tmp_path: Path
) -> None:
    # No operator runs, so that nothing would come of waiting.
    arguments = ("--start-hold-seconds=0", "--poll-hold-seconds=0")
    async with serving(control_plane, namespace, master_key_dir, *arguments) as process:
        tool = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", _CONFIGURATION, "run"),
            *(f"{process.url}/openapi.json", "--checks=all", f"--max-examples={count(10, 30)}", "--no-color"),
            # It never ends by itself.
            "--exclude-path=/events",
            *("--header", f"X-API-Key: {API_KEY}"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await tool.communicate()
        assert tool.returncode == 0, output.decode()
        assert "Tested: 19" in output.decode(), output.decode()

"""The unmodified SDK, in an interpreter of its own."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from conformance.api import RuntimeApi
from conformance.contract import Blocked, Client, required
from conformance.sandbox import Sessions
from conformance.target import Target

_SCRIPT = Path(__file__).parent.parent / "sdk_session.py"
_STEPS = ("constructor", "command", "files", "conversation", "attach", "pause and resume", "close")


@pytest.fixture(scope="session")
def session_id(sessions: Sessions) -> str:
    return sessions.like_the_sdk()


@pytest.fixture(scope="session")
def steps(target: Target, session_id: str) -> dict[str, str]:
    """Each step that was taken, with its error, "" for none."""
    if target.sdk_python is None:
        pytest.skip("SDK not given (--sdk-python)")
    env = {
        **os.environ,
        "RUNTIME_API_URL": target.url,
        "RUNTIME_API_KEY": target.api_key,
        "AGENT_SERVER_IMAGE": target.image,
        "SESSION_ID": session_id,
        "START_TIMEOUT": str(target.start_timeout),
        "LOG_LEVEL": "ERROR",
        "OPENHANDS_SUPPRESS_BANNER": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    env.pop("PYTHONPATH", None)
    ended = subprocess.run(
        [target.sdk_python, _SCRIPT], env=env, capture_output=True, text=True, timeout=2 * target.start_timeout + 180
    )
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('{"step"')]
    assert lines, ended.stderr
    return {line["step"]: line["error"] for line in lines}


@required(Client.SDK, Client.BENCHMARKS)
@pytest.mark.parametrize("step", _STEPS)
def test_step(steps: dict[str, str], step: str) -> None:
    """openhands_workspace 1.58.2, `APIRemoteWorkspace`, as it was released."""
    if step not in steps:
        raise Blocked(f"the SDK did not come this far: {list(steps.values())[-1]}")
    assert not steps[step], steps[step]


@required(Client.SDK)
def test_nothing_remains(api: RuntimeApi, steps: dict[str, str], session_id: str) -> None:
    """SDK `cleanup`: only logs it when /stop fails."""
    assert steps
    seen = api.get(f"/sessions/{session_id}")
    assert seen.status == 404 or seen.fields.get("status") not in {"starting", "running", "paused"}, seen

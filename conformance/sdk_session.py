# Run by an interpreter that has the SDK, which is no dependency of this repository.
# pyright: basic, reportMissingImports=false
"""One session with the unmodified SDK. Prints a line of JSON for each step, and ends at the first failure."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from openhands.sdk import LLM, Agent, Conversation
from openhands.workspace import APIRemoteWorkspace
from pydantic import SecretStr

FILE = "/workspace/from_the_sdk.txt"


def workspace(**options: Any) -> APIRemoteWorkspace:
    """The constructor starts the sandbox, or attaches to it."""
    timeout = float(os.environ["START_TIMEOUT"])
    return APIRemoteWorkspace(
        runtime_api_url=os.environ["RUNTIME_API_URL"],
        runtime_api_key=os.environ["RUNTIME_API_KEY"],
        server_image=os.environ["AGENT_SERVER_IMAGE"],
        session_id=os.environ["SESSION_ID"],
        init_timeout=timeout,
        startup_wait_timeout=timeout,
        **options,
    )


def command(sandbox: APIRemoteWorkspace) -> None:
    """Its output, error output and exit code come back."""
    result = sandbox.execute_command("echo out; echo err >&2; exit 3")
    assert (result.exit_code, result.stdout, result.stderr) == (3, "out\n", "err\n"), result


def files(sandbox: APIRemoteWorkspace, directory: Path) -> None:
    """A file goes there and comes back."""
    here, back = directory / "here", directory / "back"
    here.write_bytes(os.urandom(2 * 1024 * 1024))
    sent = sandbox.file_upload(here, FILE)
    assert sent.success, sent.error
    received = sandbox.file_download(FILE, back)
    assert received.success, received.error
    assert here.read_bytes() == back.read_bytes()


def conversation(sandbox: APIRemoteWorkspace) -> None:
    """It begins only if its WebSocket brings the state; the agent is not run."""
    agent = Agent(llm=LLM(usage_id="agent", model="openai/none", api_key=SecretStr("none")), tools=[])
    begun = Conversation(agent=agent, workspace=sandbox, visualizer=None)
    try:
        assert begun.state.execution_status == "idle", begun.state.execution_status
    finally:
        begun.close()


def attach(sandbox: APIRemoteWorkspace) -> None:
    """A second object of the same session finds the same sandbox, and leaves it running."""
    with workspace(keep_alive=True) as second:
        assert second.host == sandbox.host
        command(second)
    command(sandbox)


def pause_and_resume(sandbox: APIRemoteWorkspace) -> None:
    """The same object goes on with the url and the key that it had."""
    sandbox.pause()
    sandbox.resume()
    command(sandbox)


def taken[T](step: str, take: Callable[[], T]) -> T:
    """Take a step and print how it went. Raises SystemExit when it failed."""
    try:
        result = take()
    except Exception as error:
        print(json.dumps({"step": step, "error": f"{type(error).__name__}: {error}"}), flush=True)
        raise SystemExit(1) from None
    print(json.dumps({"step": step, "error": ""}), flush=True)
    return result


def main() -> None:
    """All of it."""
    sandbox = taken("constructor", workspace)
    try:
        with TemporaryDirectory() as directory:
            taken("command", lambda: command(sandbox))
            taken("files", lambda: files(sandbox, Path(directory)))
        taken("conversation", lambda: conversation(sandbox))
        taken("attach", lambda: attach(sandbox))
        taken("pause and resume", lambda: pause_and_resume(sandbox))
    finally:
        taken("close", sandbox.cleanup)


if __name__ == "__main__":
    main()

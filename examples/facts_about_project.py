# The SDK is no dependency of this repository, so a type checker does not find it here.
# pyright: basic, reportMissingImports=false
"""An agent reads a small project in a sandbox of its own, writes three facts about it, and deletes them again.

This is the SDK's own way to work with a remote sandbox, with the SDK as it comes from PyPI:

    pip install openhands-sdk==1.58.2 openhands-tools==1.58.2 openhands-workspace==1.58.2

    export RUNTIME_API_URL=http://…      # where the gateway listens
    export RUNTIME_API_KEY=…             # an API key of the gateway
    export AGENT_SERVER_IMAGE=…          # the agent server image the sandbox runs
    export LLM_MODEL=… LLM_API_KEY=…     # and LLM_BASE_URL, for a server of your own
    python facts_about_project.py

The agent runs inside the sandbox, and so do its calls to the language model: LLM_BASE_URL is an address as the sandbox
sees it. Keys are read from the environment only, since a command line is visible to everyone on the machine.

Everything that is claimed is checked, also that the events of the conversation came over the WebSocket and not only by
polling (see `Transcript`). Exit code 0: all of it held. 1: the last line says what did not. 2: a setting is missing.
"""

import argparse
import json
import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openhands.sdk import LLM
    from openhands.workspace import APIRemoteWorkspace

HELLO = "Hello from sandboxed environment!"
WRITE_TASK = "Read the current repo and write 3 facts about the project into FACTS.txt."
DELETE_TASK = "Great! Now delete that file."

# A fresh sandbox is empty, so the example brings the project that the agent is to read.
PROJECT = {
    "README.md": (
        "# tidewatch\n\n"
        "Tidewatch predicts the tides of a harbour from its harmonic constants. It is written in Python and needs no "
        "package outside the standard library.\n\n"
        "```\npython tidewatch.py constants.json\n```\n\n"
        "One run prints the times and heights of high and low water for the next seven days.\n"
    ),
    "tidewatch.py": (
        "import math\n\n\n"
        "def height(hours: float, constants: list[tuple[float, float, float]]) -> float:\n"
        '    """Height above mean sea level, in metres; each constant is amplitude, speed and phase in degrees."""\n'
        "    return sum(a * math.cos(math.radians(speed * hours - phase)) for a, speed, phase in constants)\n"
    ),
}


class CheckFailed(Exception):
    """Something that should hold did not; the text says what."""


def check(held: bool, otherwise: str) -> None:
    """Raise CheckFailed with the text `otherwise` unless `held`."""
    if not held:
        raise CheckFailed(otherwise)


class Clock:
    """Times the steps of the example: each one lasts until the next is announced."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.text = ""
        self._name = ""
        self._started = 0.0

    def step(self, name: str, text: str) -> None:
        """End the step before and begin the next: `name` is its key among the numbers, `text` what a reader sees."""
        self.end()
        self._name, self.text, self._started = name, text, time.monotonic()
        print(f"==> {text}", flush=True)

    def end(self) -> None:
        """End the current step, if there is one."""
        if self._name:
            self.seconds[self._name] = round(time.monotonic() - self._started, 3)
            print(f"    {self.seconds[self._name]:.2f} s", flush=True)
            self._name = ""


class Transcript:
    """Callback of the conversation: prints what happens and notes by which way each event came.

    A RemoteConversation (openhands-sdk 1.58.2) calls back from two places only: the thread that reads the WebSocket,
    and, after a lost connection, a worker thread that hands over what was fetched by HTTP in the meantime. Events that
    polling alone brings go into `conversation.state.events` without a call. The reading thread is known by a kind of
    event that nothing but the socket carries: snapshots of the full state, which the server sends to subscribers and
    does not store, so that no HTTP request returns them.
    """

    def __init__(self) -> None:
        self._threads: dict[str, int] = {}
        self._socket_threads: set[int] = set()
        self.finished_snapshots = 0

    def __call__(self, event: Any) -> None:
        self._threads[event.id] = threading.get_ident()
        if event.kind == "ConversationStateUpdateEvent" and event.key == "full_state":
            self._socket_threads.add(threading.get_ident())
            self.finished_snapshots += event.value.get("execution_status") == "finished"
        if line := describe(event):
            print(f"    {line}", flush=True)

    def arrived(self, event: Any) -> bool:
        """Whether the event reached this callback at all."""
        return event.id in self._threads

    def over_socket(self, event: Any) -> bool:
        """Whether the event came over the WebSocket."""
        return self._threads.get(event.id) in self._socket_threads


def describe(event: Any) -> str:
    """One line about an event of the SDK, or nothing when it tells a reader nothing."""
    match event.kind:
        case "MessageEvent":
            texts = (getattr(part, "text", "") for part in event.llm_message.content)
            return f"{event.source}: {shorten(' '.join(texts))}"
        case "ActionEvent":
            action = event.action.model_dump(exclude_defaults=True, exclude={"kind"}) if event.action else {}
            return f"agent calls {event.tool_name}: {shorten(json.dumps(action, ensure_ascii=False))}"
        case "ObservationEvent":
            return f"{event.tool_name} answers: {shorten(event.observation.text)}"
        case "AgentErrorEvent":
            return f"error: {shorten(event.error)}"
        case "ConversationErrorEvent":
            return f"error: {event.code}: {shorten(event.detail)}"
    return ""


def shorten(text: str, limit: int = 160) -> str:
    """The text on one line, cut off at `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def run(settings: argparse.Namespace, clock: Clock) -> dict[str, Any]:
    """Run the whole example; return what was counted. Raises CheckFailed, or what the SDK raises."""
    clock.step("import_sdk", "Load the SDK")
    from openhands.sdk import LLM
    from openhands.workspace import APIRemoteWorkspace
    from pydantic import SecretStr

    llm = LLM(
        usage_id="agent",
        model=settings.llm_model,
        base_url=settings.llm_base_url or None,
        api_key=SecretStr(settings.llm_api_key),
    )
    clock.step("constructor", f"Start a sandbox from {settings.agent_server_image}")
    with APIRemoteWorkspace(
        runtime_api_url=settings.runtime_api_url,
        runtime_api_key=settings.runtime_api_key,
        server_image=settings.agent_server_image,
        startup_wait_timeout=settings.startup_timeout,
    ) as workspace:
        clock.step("command", "Run a command in it")
        run_command(workspace)
        clock.step("upload", f"Put a small project into {workspace.working_dir}")
        upload_project(workspace)
        counted = converse(workspace, llm, clock)
        clock.step("stop", "Stop the sandbox")
    wait_until_gone(settings, str(workspace.session_id))
    clock.end()
    return counted


def run_command(workspace: "APIRemoteWorkspace") -> None:
    """Run one command in the sandbox and check what it prints."""
    print(f"    session {workspace.session_id} at {workspace.host}", flush=True)
    result = workspace.execute_command(f"echo '{HELLO}' && pwd")
    check(result.exit_code == 0, f"the command ended with {result.exit_code}: {result.stderr}")
    lines = result.stdout.splitlines()
    check(len(lines) == 2 and lines[0] == HELLO, f"the command printed {result.stdout!r}")
    print(f"    it prints: {lines[0]} (in {lines[1]})", flush=True)


def upload_project(workspace: "APIRemoteWorkspace") -> None:
    """Put the files of the project into the agent's working directory."""
    for name, text in PROJECT.items():
        upload = workspace.file_upload(text.encode(), f"{workspace.working_dir}/{name}")
        check(upload.success, f"{name} could not be uploaded: {upload.error}")


def converse(workspace: "APIRemoteWorkspace", llm: "LLM", clock: Clock) -> dict[str, Any]:
    """Have the agent write the facts and delete them; return counts of the conversation's events."""
    from openhands.sdk import Conversation, RemoteConversation
    from openhands.tools.preset.default import get_default_agent

    transcript = Transcript()
    clock.step("conversation", "Begin a conversation")
    agent = get_default_agent(llm=llm, cli_mode=True)
    conversation = Conversation(agent=agent, workspace=workspace, callbacks=[transcript], visualizer=None)
    try:
        check(isinstance(conversation, RemoteConversation), f"it is a {type(conversation).__name__}, not a remote one")
        known = len(conversation.state.events)
        for name, task, check_files in (
            ("write_facts", WRITE_TASK, check_facts_written),
            ("delete_facts", DELETE_TASK, check_facts_deleted),
        ):
            clock.step(name, "Give the agent a task")
            finished = transcript.finished_snapshots
            conversation.send_message(task)
            conversation.run()
            check(transcript.finished_snapshots > finished, "the WebSocket did not tell that the run is finished")
            clock.step(f"check_{name}", "Look into the sandbox")
            check_files(workspace)
        counted = count_events(list(conversation.state.events)[known:], transcript)
        clock.step("close", "Close the conversation")
        return counted
    finally:
        conversation.close()


def check_facts_written(workspace: "APIRemoteWorkspace") -> None:
    """FACTS.txt is in the sandbox and has three facts, a line or more each."""
    result = workspace.execute_command("cat FACTS.txt", cwd=workspace.working_dir)
    check(result.exit_code == 0, f"FACTS.txt is not there: {result.stderr}")
    facts = [line for line in result.stdout.splitlines() if line.strip()]
    check(len(facts) >= 3, f"FACTS.txt has less than three facts: {result.stdout!r}")
    print("    FACTS.txt in the sandbox:", *facts, sep="\n      ", flush=True)


def check_facts_deleted(workspace: "APIRemoteWorkspace") -> None:
    """FACTS.txt is gone."""
    result = workspace.execute_command("test ! -e FACTS.txt", cwd=workspace.working_dir)
    check(result.exit_code == 0, f"FACTS.txt is still there (exit code {result.exit_code}: {result.stderr})")
    print("    FACTS.txt is gone", flush=True)


def count_events(stored: list[Any], transcript: Transcript) -> dict[str, int]:
    """Count what came over the WebSocket of the events that the server stored; what the agent did must be among it."""
    events = [event for event in stored if event.kind != "ConversationStateUpdateEvent"]
    live = [event for event in events if transcript.over_socket(event)]
    for kind in ("ActionEvent", "ObservationEvent"):
        check(any(event.kind == kind for event in live), f"no {kind} came over the WebSocket")
    lost = ", ".join(event.kind for event in events if not transcript.arrived(event))
    check(not lost, f"polling brought events that the WebSocket did not deliver: {lost}")
    print(f"    {len(live)} of {len(events)} events came over the WebSocket", flush=True)
    return {"events": len(events), "events_over_websocket": len(live)}


def wait_until_gone(settings: argparse.Namespace, session_id: str, timeout: float = 30) -> None:
    """Wait until the Runtime API no longer knows the session, or calls it stopped; for `timeout` seconds at most.

    The SDK only logs it when stopping a sandbox fails, so this is asked for anew.
    """
    import httpx

    url = f"{settings.runtime_api_url.rstrip('/')}/sessions/{session_id}"
    deadline = time.monotonic() + timeout
    while True:
        answer = httpx.get(url, headers={"X-API-Key": settings.runtime_api_key}, timeout=60)
        if answer.status_code == 404 or (answer.is_success and answer.json().get("status") == "stopped"):
            return
        check(time.monotonic() < deadline, f"{timeout:.0f} s after its stop the sandbox still runs: {answer.text}")
        time.sleep(0.5)


def reason(error: Exception) -> str:
    """What to tell the user about an error, with the server's own words when it sent some."""
    import httpx

    text = str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"
    if isinstance(error, httpx.HTTPStatusError):
        text += f"\n{error.response.text}"
    if isinstance(error, httpx.ConnectError):
        text += "\nIs RUNTIME_API_URL right, and does the gateway run?"
    return text


def read_settings() -> argparse.Namespace:
    """Read the command line and the environment; end with exit code 2 when something is missing."""
    parser = argparse.ArgumentParser(
        description="An agent writes three facts about a project in a sandbox, and deletes them again.",
        epilog="RUNTIME_API_KEY and LLM_API_KEY are read from the environment.",
    )
    for name, text in (
        ("RUNTIME_API_URL", "the gateway's address"),
        ("AGENT_SERVER_IMAGE", "the agent server image to run"),
        ("LLM_MODEL", "the language model, as LiteLLM names it"),
        ("LLM_BASE_URL", "its address as seen from the sandbox; not needed for a known provider"),
    ):
        option = "--" + name.lower().replace("_", "-")
        parser.add_argument(option, metavar=name, default=os.environ.get(name, ""), help=f"{text} (default: ${name})")
    parser.add_argument("--startup-timeout", type=float, default=300, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the measured numbers as the last line, in JSON")
    parser.add_argument("--verbose", action="store_true", help="show the SDK's log, and where a failure came from")
    for name in ("RUNTIME_API_KEY", "LLM_API_KEY"):
        parser.set_defaults(**{name.lower(): os.environ.get(name, "")})
    settings = parser.parse_args()
    needed = ("RUNTIME_API_URL", "RUNTIME_API_KEY", "AGENT_SERVER_IMAGE", "LLM_MODEL", "LLM_API_KEY")
    if missing := [name for name in needed if not getattr(settings, name.lower())]:
        parser.error(f"not set: {', '.join(missing)}")
    return settings


def main() -> int:
    """Run the example and report; return the exit code."""
    settings = read_settings()
    # Read by the SDK as it is imported: its log level, its banner, and LiteLLM's price list (from the package itself
    # rather than from the internet).
    os.environ.setdefault("LOG_LEVEL", "INFO" if settings.verbose else "ERROR")
    os.environ.setdefault("OPENHANDS_SUPPRESS_BANNER", "1")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    clock = Clock()
    started = time.monotonic()
    try:
        counted = run(settings, clock)
    except Exception as error:
        if settings.verbose:
            traceback.print_exc()
        print(f"FAILED at '{clock.text}': {reason(error)}", flush=True)
        return 1
    total = round(time.monotonic() - started, 3)
    print(f"Everything held, in {total:.1f} s.", flush=True)
    if settings.json:
        print(json.dumps({"seconds": clock.seconds | {"total": total}} | counted), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""Tools, hooks and agents that a client brings along."""

import os
import sys
from pathlib import Path
from typing import Any

from openhands.sdk import Agent, Tool
from openhands.sdk.event import ActionEvent, HookExecutionEvent
from openhands.sdk.hooks import HookConfig, HookDefinition, HookMatcher
from openhands.sdk.tool.client_tool import ClientToolSpec
from openhands.tools import register_builtins_agents
from openhands.tools.preset.default import get_default_tools
from openhands.tools.task import TaskToolSet

from cluster.scripts import bash, call, say, script
from cluster.sdk_scenarios.session import Session, seen

BROUGHT = Path(__file__).with_name("brought")
"""Files that run in the sandbox."""


def defined_by_the_client(session: Session) -> dict[str, Any]:
    """The client itself is the tool: its callback gets the call over the WebSocket."""
    rung: list[int] = []
    number = {"type": "integer", "description": "How often"}
    schema = {"type": "object", "properties": {"times": number}, "required": ["times"]}
    bell = ClientToolSpec(name="ring_bell", description="Ring the client's bell.", parameters=schema)

    def ring(event: Any) -> None:
        if isinstance(event, ActionEvent) and event.tool_name == bell.name:
            rung.append(event.action.times)

    session.converse(call("ring_bell", times=3), say("Rung."), client_tools=[bell], callbacks=[ring])
    return {"rung": rung}


def hooks(session: Session) -> dict[str, Any]:
    """Commands of the client's that run in the sandbox: before and after each tool, and before the agent may stop."""
    config = HookConfig(
        session_start=_hook("echo begun > hooks.log"),
        pre_tool_use=_hook("if grep -q forbidden; then echo 'not in this house' >&2; exit 2; fi", "terminal"),
        post_tool_use=_hook("wc -l >> hooks.log"),
        stop=_hook("if [ ! -e summary.txt ]; then echo 'write summary.txt first' >&2; exit 2; fi"),
    )
    steps = bash("echo forbidden"), bash("echo allowed"), say("Too early."), bash("touch summary.txt"), say("Done.")
    conversation = session.converse(*steps, hook_config=config)
    ran = [event for event in conversation.state.events if isinstance(event, HookExecutionEvent)]
    return {
        "blocked": [event.hook_event_type for event in ran if event.blocked],
        "seen": seen(conversation),
        "log": session.run("head -n1 hooks.log; rm hooks.log summary.txt"),
    }


def sub_agents(session: Session) -> dict[str, Any]:
    register_builtins_agents()
    agent = Agent(llm=session.llm(), tools=[Tool(name="terminal"), Tool(name=TaskToolSet.name)])
    errand = script(bash("echo from below > errand.txt"), say("The errand is done."))
    conversation = session.converse(
        call("task", description="An errand", prompt=errand, subagent_type="general-purpose"), say("Done."), agent=agent
    )
    return {"seen": seen(conversation), "file": session.run("cat errand.txt; rm errand.txt")}


def run_by_the_server(session: Session) -> dict[str, Any]:
    """A tool of the client's own that the agent server imports, of one that runs from its sources."""
    # Directories of this variable that are missing when the server starts are ignored; /workspace is always there.
    os.environ["OH_EXTRA_PYTHON_PATH"] = "/workspace"
    with session.open(target_type="source", forward_env=["OH_EXTRA_PYTHON_PATH"]) as other:
        for file in ("counting.py", "tides.txt"):
            assert other.workspace.file_upload(BROUGHT / file, f"/workspace/{file}").success
        sys.path.append(str(BROUGHT))
        import counting  # noqa: F401 (registers the tool)

        agent = Agent(llm=other.llm(), tools=[*get_default_tools(enable_browser=False), Tool(name="CountingTool")])
        conversation = other.converse(call("counting", path="/workspace/tides.txt"), say("Counted."), agent=agent)
        server = other.run("pgrep --list-full --oldest --full '[/]agent-server/.venv/bin/python -m'").split()
        return {"seen": seen(conversation), "server": server[-5:]}


def _hook(command: str, matcher: str = "*") -> list[HookMatcher]:
    return [HookMatcher(matcher=matcher, hooks=[HookDefinition(command=command, timeout=10)])]

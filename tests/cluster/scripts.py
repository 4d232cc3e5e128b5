"""Scripts for the scripted model: what an agent is to do, step by step."""

import json
from typing import Any


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """A step of a script: the agent calls this tool."""
    return {"tool": tool, "arguments": arguments}


def bash(command: str) -> dict[str, Any]:
    """A step of a script: the agent runs this in its terminal."""
    return call("terminal", command=command)


def say(text: str) -> dict[str, Any]:
    """A step of a script: the agent says this, and its turn ends."""
    return {"say": text}


def script(*steps: dict[str, Any]) -> str:
    """A task that the scripted model answers with these steps."""
    return f"Do as it says. SCRIPT: {json.dumps(steps)}"

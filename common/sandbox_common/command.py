"""Reads the port from an agent server's command line."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from sandbox_crds.models import Sandbox

DEFAULT_COMMAND = ("/usr/local/bin/openhands-agent-server", "--host", "0.0.0.0", "--port", "60000")  # noqa: S104
"""Command of a Sandbox without one. OpenHands' clients use this port."""

_PROGRAMS = ("openhands-agent-server", "agent-server")

AGENT = "http"
"""Name of the agent server's port, in pods and in `status.ports`."""

_DEFAULT_PORT = 8000
"""Port of an agent server without `--port` (openhands_agent_server 1.58.2, `__main__`)."""


def agent_port(command: Sequence[str]) -> int:
    """Port of this command's agent server; an empty command means DEFAULT_COMMAND. The last `--port` counts."""
    words = command or DEFAULT_COMMAND
    port = _DEFAULT_PORT
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name != "--port":
            continue
        if not equals:
            value = words[index + 1] if index + 1 < len(words) else ""
        if value.isascii() and value.isdigit() and 0 < int(value) < 65536:
            port = int(value)
    return port


def options(command: Sequence[str]) -> Sequence[str] | None:
    """What this command of an agent server gives it as arguments; None for a command of something else.

    Clients name the program as an image of OpenHands has it (openhands.workspace 1.58.2, `target_type`).
    """
    words = command or DEFAULT_COMMAND
    if PurePosixPath(words[0]).name in _PROGRAMS:
        return words[1:]
    return words[3:] if tuple(words[1:3]) == ("-m", "openhands.agent_server") else None


def present_port(sandbox: Sandbox) -> int:
    """Port of the agent server in the sandbox's present pod; without a pod, the port of the next one."""
    return sandbox.status.ports.get(AGENT) or agent_port(sandbox.spec.command)

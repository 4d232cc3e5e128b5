"""The agent server's command line, as far as the project reads it."""

from collections.abc import Sequence

DEFAULT_COMMAND = ("/usr/local/bin/openhands-agent-server", "--host", "0.0.0.0", "--port", "60000")  # noqa: S104
"""Command of a Sandbox that names none; the port is the one that OpenHands' clients use."""

_DEFAULT_PORT = 8000
"""Port of an agent server without `--port` (openhands_agent_server 1.58.2, `__main__`)."""


def agent_port(command: Sequence[str]) -> int:
    """Port of this command's agent server; of DEFAULT_COMMAND when it is empty. The last `--port` counts."""
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

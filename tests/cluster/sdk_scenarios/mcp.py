# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""MCP servers that the agent server starts as processes, from what is in the sandbox already: nothing is fetched."""

import io
import json
import zipfile
from typing import Any

from openhands.sdk.mcp import MCPServer
from openhands.tools.preset.default import get_default_agent

from cluster.scripts import call, say
from cluster.sdk_scenarios.session import Session, seen
from cluster.sdk_scenarios.tools import BROUGHT

WHEEL = "shouting-1.0-py3-none-any.whl"


def by_path(session: Session) -> dict[str, Any]:
    return _shout(session, "python3", _upload(session, "shouting.py", (BROUGHT / "shouting.py").read_bytes()))


def by_uvx(session: Session) -> dict[str, Any]:
    return _shout(session, "uvx", "--offline", "--from", _upload(session, WHEEL, _wheel()), "shouting")


def by_npx(session: Session) -> dict[str, Any]:
    package = {"name": "shouting", "version": "1.0.0", "bin": {"shouting": "shouting.js"}}
    described = _upload(session, "shouting/package.json", json.dumps(package).encode())
    _upload(session, "shouting/shouting.js", (BROUGHT / "shouting.js").read_bytes())
    return _shout(session, "npx", "--offline", "--yes", described.removesuffix("/package.json"))


def _upload(session: Session, name: str, content: bytes) -> str:
    """Where it is then."""
    place = f"/tmp/mcp/{name}"
    assert session.workspace.file_upload(content, place).success
    return place


def _shout(session: Session, command: str, *arguments: str) -> dict[str, Any]:
    """What the agent sees of the server's one tool."""
    servers = {"shouting": MCPServer(command=command, args=list(arguments))}
    agent = get_default_agent(llm=session.llm(), cli_mode=True).model_copy(update={"mcp_config": servers})
    return {"seen": seen(session.converse(call("shout", text="hello"), say("Done."), agent=agent))}


def _wheel() -> bytes:
    """The server in Python as a package with a command."""
    information = "shouting-1.0.dist-info"
    files = {
        "shouting.py": (BROUGHT / "shouting.py").read_text(),
        f"{information}/METADATA": "Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": "[console_scripts]\nshouting = shouting:main\n",
    }
    files[f"{information}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{information}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()

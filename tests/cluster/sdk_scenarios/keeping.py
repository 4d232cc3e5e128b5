# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""What the agent server keeps for its client: settings and secrets."""

import hashlib
from typing import Any

from openhands.tools.preset.default import get_default_agent

from cluster.scripts import bash, say
from cluster.sdk_scenarios.session import Session, seen

SHOUTING = {"shouting": {"command": "python3", "args": ["shouting.py"]}}


def settings(session: Session) -> dict[str, Any]:
    """A model and MCP servers that are kept there, and an agent that is made from them."""
    workspace = session.workspace
    llm = {"model": "openai/scripted", "base_url": session.model, "api_key": "kept"}
    changed = {"agent_settings_diff": {"llm": llm, "mcp_config": SHOUTING}}
    workspace.client.patch("/api/settings", json=changed).raise_for_status()
    kept = workspace.get_llm()
    conversation = session.converse(bash("echo works"), say("Done."), agent=get_default_agent(llm=kept, cli_mode=True))
    return {
        "key": kept.api_key.get_secret_value(),
        "mcp": {name: server.command for name, server in workspace.get_mcp_config().items()},
        "seen": seen(conversation),
    }


def secrets(session: Session) -> dict[str, Any]:
    """Secrets of the conversation's own and of the sandbox: commands have them, the agent sees a mask."""
    kept, own = "kept-" + "k" * 20, "own-" + "o" * 20
    secret = {"name": "KEPT_TOKEN", "value": kept, "description": "of a trial"}
    session.workspace.client.put("/api/settings/secrets", json=secret).raise_for_status()
    conversation = session.converse()
    found = session.workspace.get_secrets()
    for reference in found.values():
        # They name the gateway, which no sandbox may reach: docs/runtime-api.md.
        reference.url = reference.url.replace(session.workspace.host, "http://127.0.0.1:60000")
    conversation.update_secrets({**found, "OWN_TOKEN": own})
    session.play(
        conversation,
        bash('printf %s "$KEPT_TOKEN" | sha256sum'),
        bash('printf %s "$OWN_TOKEN" | sha256sum'),
        bash("echo $KEPT_TOKEN $OWN_TOKEN"),
        say("Done."),
    )
    *digests, masked = seen(conversation)
    wanted = [hashlib.sha256(value.encode()).hexdigest() for value in (kept, own)]
    return {"names": sorted(found), "right": [digest.split()[0] for digest in digests] == wanted, "masked": masked}

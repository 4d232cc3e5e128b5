"""What users of the SDK do, as programs: they run with the Python of an environment that has the unmodified SDK."""

from typing import Any

SHOUTED = {"seen": ["[Tool 'shout' executed.]HELLO"]}
SERVER = ["/agent-server/.venv/bin/python", "-m", "openhands.agent_server", "--port", "60000"]

EXPECTED: dict[str, dict[str, Any]] = {
    "git.by_the_agent": {"seen": ["tides.txt", "Begin"]},
    "git.changes": {
        "changes": [["notes.txt", "ADDED"], ["tides.txt", "UPDATED"]],
        "diff": {"modified": "one\ntwo", "original": "one"},
        "log": "Begin\n",
    },
    "conversations.fork": {
        "begins_with": ["first"],
        "fork": ["first", "second"],
        "source": ["first"],
        "status": "finished",
    },
    "conversations.message_in_mid_run": {"status": "finished", "seen": ["begun", "asked for in between"]},
    "conversations.pause_in_mid_run": {
        "paused": ["paused", ["begun"]],
        "status": "finished",
        "seen": ["begun", "gone on"],
    },
    "conversations.interrupt": {"status": "paused"},
    "conversations.deltas": {"words": ["One", " after", " the", " other."]},
    "conversations.attached_again": {"same": [True, True], "seen": ["kept", "gone on"], "title": "A short task"},
    "conversations.gateway_killed": {"status": "finished", "seen": ["survived"], "missed": []},
    "tools.defined_by_the_client": {"rung": [3]},
    "tools.hooks": {"blocked": ["PreToolUse", "Stop"], "seen": ["allowed", ""], "log": "begun\n"},
    "tools.sub_agents": {
        "seen": ["Task ID: task_00000001\nSubagent: general-purpose\nStatus: completedThe errand is done."],
        "file": "from below\n",
    },
    "tools.run_by_the_server": {"seen": ["3 lines"], "server": SERVER},
    "mcp.by_path": SHOUTED,
    "mcp.by_uvx": SHOUTED,
    "mcp.by_npx": SHOUTED,
    "keeping.settings": {"key": "kept", "mcp": {"shouting": "python3"}, "seen": ["works"]},
    "keeping.secrets": {"names": ["KEPT_TOKEN"], "right": True, "masked": "<secret-hidden> <secret-hidden>"},
    "openai_client.endpoints": {
        "models": ["openhands_trial"],
        "said": "It is written.",
        "streamed": "And streamed.",
        "response": "A response.",
        "file": "done\n",
    },
    "files.up_and_down": {"equal": True, "size": 64 * 1024 * 1024},
    "pausing.in_mid_run": {
        "interrupted": "paused",
        "status": "finished",
        "last": "gone on",
        "changes": [["notes.txt", "ADDED"], ["tides.txt", "UPDATED"]],
        "log": "Begin\n",
    },
}
"""What each scenario sees, by its name."""

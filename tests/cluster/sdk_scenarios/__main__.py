# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
"""Play scenarios in one sandbox, and print a line of JSON about each: what it saw, or its error.

    RUNTIME_API_KEY=… python -m cluster.sdk_scenarios URL IMAGE MODEL [SCENARIO …]

A line with `ask` wants something done from outside; a line on standard input says that it is.
"""

import json
import os
import sys
import traceback
from functools import partial
from typing import Any

from openhands.workspace import APIRemoteWorkspace

from cluster.sdk_scenarios import conversations, files, git, keeping, mcp, openai_client, pausing, tools
from cluster.sdk_scenarios.session import Session

SCENARIOS = [
    git.by_the_agent,
    git.changes,
    conversations.fork,
    conversations.message_in_mid_run,
    conversations.pause_in_mid_run,
    conversations.interrupt,
    conversations.deltas,
    conversations.attached_again,
    tools.defined_by_the_client,
    tools.hooks,
    tools.sub_agents,
    tools.run_by_the_server,
    mcp.by_path,
    mcp.by_uvx,
    mcp.by_npx,
    keeping.settings,
    keeping.secrets,
    openai_client.endpoints,
    files.up_and_down,
    pausing.in_mid_run,
    conversations.gateway_killed,
]


def play(session: Session, names: list[str], tell: Any) -> None:
    for scenario in SCENARIOS:
        name = f"{scenario.__module__.rpartition('.')[2]}.{scenario.__name__}"
        if names and name not in names:
            continue
        try:
            tell({"scenario": name, "result": scenario(session)})
        except Exception:
            tell({"scenario": name, "error": traceback.format_exc()})


def main() -> None:
    url, image, model, *names = sys.argv[1:]
    # The SDK writes to standard output, too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(line: dict[str, Any]) -> None:
        print(json.dumps(line), file=answers, flush=True)

    def ask(what: str) -> None:
        tell({"ask": what})
        sys.stdin.readline()

    key = os.environ["RUNTIME_API_KEY"]
    opens = partial(APIRemoteWorkspace, runtime_api_url=url, runtime_api_key=key, server_image=image)
    with Session(opens(), model, opens, ask) as session:
        play(session, names, tell)
    # Threads of conversations that nobody closed would hold the process for long.
    os._exit(0)


if __name__ == "__main__":
    main()

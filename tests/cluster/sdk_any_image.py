# The SDK is no dependency of this repository, so a type checker does not find it here.
# pyright: basic, reportMissingImports=false
"""The SDK's example in sandboxes of several images at a time, and what commands find in them.

    python -m cluster.sdk_any_image URL MODEL_URL

Standard input has `items`, objects with `name`, `image`, `key` and `command`, and `kept`, the name of one that is
paused and resumed. Standard output is the list of what was seen of each: `own`, what the command printed, and `kept`,
what was left of that; `variables` of a command; whether one has `changed` the agent server; `counted`, as by the
example.
"""

import contextlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openhands.sdk import LLM
from openhands.workspace import APIRemoteWorkspace
from pydantic import SecretStr

import facts_about_project as example

AT_ONCE = 2


def use(url: str, model: str, item: dict[str, str], pauses: bool) -> dict[str, Any]:
    llm = LLM(usage_id="agent", model="openai/scripted", base_url=model, api_key=SecretStr("scripted"))
    seen: dict[str, Any] = {"name": item["name"]}
    with APIRemoteWorkspace(runtime_api_url=url, runtime_api_key=item["key"], server_image=item["image"]) as workspace:
        example.run_command(workspace)
        # The image's programs write, and read again.
        command = f"({item['command']}) > own.txt; cat own.txt"
        seen["own"] = workspace.execute_command(command, cwd=workspace.working_dir).stdout
        seen["variables"] = workspace.execute_command("env").stdout.splitlines()
        seen["changed"] = workspace.execute_command("echo > /oh/any/launch.py").exit_code == 0
        example.upload_project(workspace)
        seen["counted"] = example.converse(workspace, llm, example.Clock())
        if pauses:
            workspace.pause()
            workspace.resume()
            seen["kept"] = workspace.execute_command("cat own.txt", cwd=workspace.working_dir).stdout
    return seen


def main() -> None:
    url, model = sys.argv[1:]
    given = json.load(sys.stdin)
    with ThreadPoolExecutor(AT_ONCE) as pool, contextlib.redirect_stdout(sys.stderr):
        uses = [pool.submit(use, url, model, item, item["name"] == given["kept"]) for item in given["items"]]
        seen = [each.result() for each in uses]
    print(json.dumps(seen))


if __name__ == "__main__":
    main()

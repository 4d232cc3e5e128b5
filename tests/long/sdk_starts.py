# pyright: basic, reportMissingImports=false
"""Starts of sandboxes side by side, with the unmodified SDK, each in a process of its own.

Its arguments are the URL of the gateway and a directory. Each line of the standard input is one start, as a JSON list:
its name, the image, the SandboxClass and the API key. What became of it is a file of that name in the directory.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from openhands.workspace import APIRemoteWorkspace


def start(url: str, session_id: str, image: str, class_: str, key: str) -> dict[str, Any]:
    os.environ["OHSB_CLASS"] = class_
    started = time.monotonic()
    try:
        with APIRemoteWorkspace(
            runtime_api_url=url,
            runtime_api_key=key,
            server_image=image,
            session_id=session_id,
            forward_env=["OHSB_CLASS"],
        ) as workspace:
            ready = time.monotonic() - started
            return {"seconds": ready, "told": workspace.execute_command("echo mended").stdout.strip()}
    except Exception as error:
        return {"seconds": time.monotonic() - started, "told": f"{type(error).__name__}: {error}"}


def main(url: str, directory: Path) -> None:
    children: list[int] = []
    for line in sys.stdin:
        name, image, class_, key = json.loads(line)
        # Most of what a process costs is to import the SDK.
        if child := os.fork():
            children.append(child)
            continue
        try:
            became = start(url, name, image, class_, key)
            whole = directory / f"{name}.new"
            whole.write_text(json.dumps(became))
            whole.rename(directory / name)
        finally:
            os._exit(0)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

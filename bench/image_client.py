# The SDK is no dependency of this repository, so a type checker does not find it here.
# pyright: basic, reportMissingImports=false
"""Workers with the unmodified SDK: each starts a sandbox of an image, runs a command, and stops it.

    python image_client.py URL WORKERS COMMAND

Standard input has an image in each line, for the next worker that is free. Each image becomes a line on standard
output: a JSON object with `image`; the times `began`, `started`, `answered` and `ended`, in seconds of the monotonic
clock, as far as it came; and `error`, which is empty if the command printed something. No image is tried again.
"""

import contextlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openhands.workspace import APIRemoteWorkspace


def use(url: str, command: str, image: str) -> dict[str, Any]:
    found: dict[str, Any] = {"image": image, "began": time.monotonic(), "error": ""}
    key = os.environ["RUNTIME_API_KEY"]
    try:
        with APIRemoteWorkspace(runtime_api_url=url, runtime_api_key=key, server_image=image) as workspace:
            found["started"] = time.monotonic()
            done = workspace.execute_command(command, timeout=600)
            found["answered"] = time.monotonic()
            if done.exit_code or not done.stdout:
                found["error"] = f"exit code {done.exit_code}: {done.stderr[:500]}"
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {str(error)[:500]}"
    found["ended"] = time.monotonic()
    return found


def main() -> None:
    url, workers, command = sys.argv[1:]
    images = sys.stdin.read().split()
    with contextlib.redirect_stdout(sys.stderr), ThreadPoolExecutor(int(workers)) as pool:
        for done in pool.map(lambda image: use(url, command, image), images):
            print(json.dumps(done), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()

"""A process with the unmodified SDK that does what it is asked, line by line."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from cluster.site import Site


class SdkProcess:
    """Runs a Python program on `site`; its arguments end with the gateway's URL, the agent server's image and `more`.

    It answers each line of its standard input with a line of JSON.
    """

    def __init__(self, site: Site, python: Path, program: Sequence[str], *more: str) -> None:
        self._process = subprocess.Popen(
            [str(python), *program, site.url, site.release.images.agent_server, *more],
            env=site.sdk_environment() | {"LOG_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, line: str = "") -> Any:
        """Its answer. Raises json.JSONDecodeError if it has failed; its error is on standard error."""
        assert self._process.stdin
        assert self._process.stdout
        print(line, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

"""Sandboxes as the unmodified SDK uses them, each of the SandboxClass that its API key leads to."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cluster.site import Site
from demo.commands import ROOT
from demo.workloads import model_url
from sandbox_common.keys import api_key_hash
from sandbox_crds.api import API_KEY_LABEL

COMMAND = ["/usr/local/bin/openhands-agent-server", "--port", "60000"]
"""What the SDK asks for, as are `/` as working directory and an empty environment."""
TIMEOUT = 600


def key_body(class_name: str, key: str) -> dict[str, Any]:
    """The Secret of an API key, and owner, whose sandboxes are of this class."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"key-{class_name}", "labels": {API_KEY_LABEL: "true"}},
        "stringData": {
            "sha256": api_key_hash(key),
            "owner": class_name,
            "policy": json.dumps({"classes": [class_name]}),
        },
    }


def used(
    site: Site, sdk: Path, items: Sequence[dict[str, str]], kept: str, look: Callable[[dict[str, Any]], None]
) -> dict[str, dict[str, Any]]:
    """What `cluster.sdk_any_image` sees of these items, by name. Meanwhile `look` gets each Sandbox every second."""
    environment = site.sdk_environment() | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'examples'}"}
    command = [str(sdk), "-m", "cluster.sdk_any_image", site.url, model_url(site.release.namespace)]
    with (
        tempfile.TemporaryFile("w+") as log,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as given,
    ):
        json.dump({"items": items, "kept": kept}, given)
        given.seek(0)
        with subprocess.Popen(command, env=environment, stdin=given, stdout=out, stderr=log, text=True) as process:
            deadline = time.monotonic() + TIMEOUT
            while process.poll() is None and time.monotonic() < deadline:
                for sandbox in site.kubectl("get", "ohsb", "--output", "json")["items"]:
                    look(sandbox)
                time.sleep(1)
            process.kill()
        log.seek(0)
        out.seek(0)
        assert process.returncode == 0, log.read()[-8000:]
        return {each["name"]: each for each in json.load(out)}

"""What the unmodified SDK raises when a sandbox cannot start: the words that people and tools look for.

The seconds from its call to its error are printed: `pytest -s`.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.injections import MISSING_IMAGE, UNDONE, surrounded
from cluster.site import Site
from cluster.support import eventually
from demo.targets import Images
from local_cluster.progress import Progress
from sandbox_crds.api import SANDBOX_LABEL

PATIENCE = 40
# Half of the 300 s after which the SDK gives up by itself, without a reason.
TIME_OUT = 150
PROGRAM = """
import os, sys, time
from openhands.workspace import APIRemoteWorkspace
url, image, session_id = sys.argv[1:]
key, started = os.environ["RUNTIME_API_KEY"], time.monotonic()
try:
    APIRemoteWorkspace(
        runtime_api_url=url,
        runtime_api_key=key,
        server_image=image,
        session_id=session_id,
        forward_env=["OHSB_PENDING_TIMEOUT_SECONDS"],
    )
finally:
    print(time.monotonic() - started)
"""


@dataclass(frozen=True)
class Start:
    """A start that fails: what its class is changed by, and what the SDK's error has to say."""

    words: tuple[str, ...]
    class_: dict[str, Any] = field(default_factory=dict[str, Any])
    image: str = ""


STARTS = {
    "image-missing": Start(("ImagePullBackOff", MISSING_IMAGE, f"Not ready after {PATIENCE} s"), image=MISSING_IMAGE),
    "memory-limit-too-small": Start(
        ("OOMKilled", "ran out of memory"),
        {"resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}},
    ),
    # The SDK asks for this runtime class unless told otherwise.
    "runtime-handler-missing": Start(
        ("RuntimeHandlerNotFound", "FailedCreatePodSandBox", UNDONE), {"runtimeClasses": {"sysbox-runc": UNDONE}}
    ),
    "storage-class-missing": Start(
        ("StorageClassNotFound", "ProvisioningFailed"),
        {"workspace": {"persistent": True, "storageClassName": f"{UNDONE}-missing"}},
    ),
}


@pytest.fixture(scope="module")
def errors(site: Site, images: Images, sdk: Path, progress: Progress) -> Iterator[dict[str, str]]:
    """What each SDK process raised. They run side by side, since most of their time is waiting."""
    running: dict[str, subprocess.Popen[str]] = {}
    with surrounded(site):
        try:
            for case, start in STARTS.items():
                running[case] = _start(site, sdk, start, images)
            raised: dict[str, str] = {}
            for case, process in running.items():
                seconds, raised[case] = process.communicate(timeout=TIME_OUT)
                # The SDK itself writes to standard output, too.
                progress.say(f"  raised after {float(seconds.split()[-1]):6.1f} s: {case}")
            yield raised
        finally:
            for process in running.values():
                process.kill()
                process.wait()


def _start(site: Site, sdk: Path, start: Start, images: Images) -> subprocess.Popen[str]:
    """The SDK, starting a sandbox whose pod is made of the changed class; that is as before when it returns."""
    class_ = site.kubectl("get", "ohsc", "default", "--output", "json")
    session_id = uuid.uuid4().hex

    def pods() -> str:
        """Those of the session's sandbox, once there are any."""
        items = site.kubectl("get", "ohsb", "--output", "json")["items"]
        names = [item["metadata"]["name"] for item in items if item["spec"].get("sessionID") == session_id]
        selector = f"{SANDBOX_LABEL} in ({','.join(names)})"
        return site.kubectl("get", "pods", "--selector", selector, "--output", "name") if names else ""

    site.kubectl("patch", "ohsc", "default", "--type", "merge", "--patch", json.dumps({"spec": start.class_}))
    try:
        process = subprocess.Popen(
            [str(sdk), "-c", PROGRAM, site.url, start.image or images.agent_server, session_id],
            env={
                **os.environ,
                "RUNTIME_API_KEY": site.release.api_key(),
                "OHSB_PENDING_TIMEOUT_SECONDS": str(PATIENCE),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # An SDK that has ended already is asked for its error like the others.
        eventually(lambda: process.poll() is not None or pods(), bool, TIME_OUT)
        return process
    finally:
        back = [{"op": "replace", "path": "/spec", "value": class_["spec"]}]
        site.kubectl("patch", "ohsc", "default", "--type=json", "--patch", json.dumps(back))


@pytest.mark.parametrize("case", STARTS)
def test_the_sdk_says_why_a_start_failed(errors: dict[str, str], case: str) -> None:
    last_words = "\n".join(errors[case].strip().splitlines()[-30:])
    for word in (*STARTS[case].words, "Remedy: "):
        assert word in last_words

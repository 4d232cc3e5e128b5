"""A kubelet that is restarted while the SDK's command runs: as it is, and as those of Kubernetes 1.30 to 1.34 were.

Those reported running containers as not ready until they had been probed again. A feature gate of newer ones does so.
"""

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from cluster.site import Site
from cluster.support import NAMESPACE, eventually
from demo.targets import Images
from local_cluster.cluster import Cluster
from local_cluster.paths import State
from local_cluster.processes import Process, end
from local_cluster.progress import Progress

SESSION = f"{NAMESPACE}-restarted"
SECONDS = 40
"""How long the command runs: the kubelet is back by then."""
PROGRAM = f"""
import os, sys
from openhands.workspace import APIRemoteWorkspace

url, image = sys.argv[1:]
key = os.environ["RUNTIME_API_KEY"]
with APIRemoteWorkspace(
    runtime_api_url=url, runtime_api_key=key, server_image=image, session_id="{SESSION}"
) as workspace:
    print("ready", flush=True)
    print(workspace.execute_command("sleep {SECONDS}; echo still there", timeout=120).stdout, flush=True)
"""
GATE = "ChangeContainerStatusOnKubeletRestart"


def restart_kubelet(progress: Progress) -> None:
    """kill -9, and up again."""
    state = State.from_environment()
    assert end([Process(**json.loads((state.pids / "kubelet").read_text()))]) == []
    Cluster(state).up(progress)


@contextmanager
def older_kubelet() -> Generator[None]:
    """Those that are started meanwhile behave as older ones."""
    file = State.from_environment().config / "kubelet.yaml"
    text = file.read_text()
    config = yaml.safe_load(text)
    file.write_text(yaml.safe_dump({**config, "featureGates": {**config.get("featureGates", {}), GATE: True}}))
    try:
        yield
    finally:
        file.write_text(text)


def became_ready(site: Site) -> datetime:
    """When the pod of the session was last found to be Ready, or not."""
    runtime_id = site.gateway.get(f"/sessions/{SESSION}").json()["runtime_id"]
    name = site.kubectl("get", "ohsb", runtime_id, "--output", "json")["status"]["podName"]
    conditions = site.kubectl("get", "pod", name, "--output", "json")["status"]["conditions"]
    [ready] = [condition for condition in conditions if condition["type"] == "Ready"]
    return datetime.fromisoformat(ready["lastTransitionTime"])


@pytest.mark.parametrize("older", [False, True], ids=["as it is", "as until 1.34"])
def test_the_command_goes_on(site: Site, images: Images, sdk: Path, progress: Progress, older: bool) -> None:
    command = [str(sdk), "-c", PROGRAM, site.url, images.agent_server]
    with subprocess.Popen(command, env=site.sdk_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            restarted = datetime.now(UTC).replace(microsecond=0)
            if older:
                with older_kubelet():
                    restart_kubelet(progress)
                # Otherwise the restart has not done what those kubelets do, and this says nothing.
                eventually(lambda: became_ready(site), lambda when: when >= restarted)
            else:
                restart_kubelet(progress)
            assert process.stdout.read().strip() == "still there"
            assert process.wait(60) == 0
        finally:
            process.kill()
            if older:
                restart_kubelet(progress)

"""Sandboxes in gVisor: the unmodified SDK asks for `sysbox-runc`, and the class maps it to the second runtime."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cluster.gvisor import CLASS, GVISOR, with_class
from cluster.runtime import READY_SECONDS, Runtime
from cluster.sdk_uses import COMMAND, used
from cluster.site import Site, client_of
from cluster.support import eventually
from demo.targets import Images
from demo.workloads import SDK_PYTHON
from local_cluster.dns import SANDBOX_DOMAIN
from sandbox_crds.api import API_VERSION, SANDBOX_LABEL

KERNEL = "dmesg | grep --only-matching --max-count=1 'Starting gVisor'"
"""A command that gVisor's own kernel answers, not the node's."""


@dataclass(frozen=True)
class Seen:
    """What the SDK saw of its sandbox, its launches, and the runtime classes of its pods."""

    sandbox: dict[str, Any]
    launches: set[str]
    runtimes: set[str]


@pytest.fixture(scope="module")
def pool(site: Site, images: Images) -> Iterator[str]:
    """The API key, when a warm pod waits."""
    spec = {"image": images.agent_server, "command": COMMAND, "workingDir": "/", "className": CLASS}
    asked = {"runtimeClassName": "sysbox-runc", "replicas": 1}
    body = {"apiVersion": API_VERSION, "kind": "SandboxPool", "metadata": {"name": CLASS}, "spec": {**spec, **asked}}
    with with_class(site) as key:
        site.kubectl("apply", "--filename", "-", body=body)
        site.kubectl("wait", "--for=condition=Ready", f"ohsp/{CLASS}", f"--timeout={2 * READY_SECONDS}s")
        yield key
        site.kubectl("delete", "--filename", "-", body=body)


@pytest.fixture(scope="module")
def seen(site: Site, images: Images, sdk: Path, pool: str) -> Seen:
    """The SDK's example, a pause and a resume."""
    launches, runtimes = set[str](), set[str]()

    def look(sandbox: dict[str, Any]) -> None:
        if sandbox["spec"]["className"] != CLASS or not sandbox.get("status", {}).get("launch"):
            return
        launches.add(sandbox["status"]["launch"])
        of_it = f"--selector={SANDBOX_LABEL}={sandbox['metadata']['name']}"
        pods = site.kubectl("get", "pods", of_it, "--output", "json")["items"]
        runtimes.update(pod["spec"].get("runtimeClassName", "") for pod in pods)
        # The next warm pod would only take processor time.
        site.kubectl("scale", f"ohsp/{CLASS}", "--replicas=0")

    item = {"name": CLASS, "image": images.agent_server, "command": KERNEL, "key": pool}
    return Seen(used(site, sdk, [item], CLASS, look)[CLASS], launches, runtimes)


def test_the_sdks_example_runs_in_it(seen: Seen) -> None:
    assert seen.sandbox["own"] == "Starting gVisor\n"
    counted = seen.sandbox["counted"]
    assert counted["events_over_websocket"] == counted["events"] > 0


def test_the_runtime_class_that_the_sdk_asks_for_is_mapped_to_it(seen: Seen) -> None:
    assert seen.runtimes == {GVISOR}


def test_a_pool_serves_it_and_a_resume_keeps_its_files(seen: Seen) -> None:
    assert seen.launches == {"Warm", "Resume"}
    assert seen.sandbox["kept"] == seen.sandbox["own"]


def test_a_work_host_shows_what_an_agent_serves(host_mode: Site, images: Images) -> None:
    with with_class(host_mode) as key:
        gateway = client_of(host_mode.url, key)
        site = replace(host_mode, gateway=gateway)
        asked: dict[str, Any] = {"runtime_class": "sysbox-runc"}
        with gateway, Runtime(site, images.agent_server, **asked) as runtime:
            eventually(runtime.look, lambda seen: seen["pod_status"] == "ready", 2 * READY_SECONDS)
            assert runtime.run(KERNEL) == "Starting gVisor\n"
            runtime.run(f"echo from gVisor > page; nohup {SDK_PYTHON} -m http.server 12000 > log 2>&1 < /dev/null &")
            host = {"Host": f"work-1-{runtime.id}.{SANDBOX_DOMAIN}"}
            page = eventually(lambda: gateway.get("/page", headers=host), lambda answer: answer.is_success)
            assert page.text == "from gVisor\n"

"""All processes of the node and of the project end, and come back."""

import json
from collections.abc import Iterator

import pytest

from cluster.runtime import Runtime, identity
from cluster.site import Site
from cluster.support import eventually
from demo.local_target import LocalTarget
from demo.targets import Images
from local_cluster.cluster import DAEMONS, Cluster
from local_cluster.paths import State
from local_cluster.processes import Process, end
from local_cluster.progress import Progress
from sandbox_crds.names import usage_name


@pytest.fixture
def runtime(persistent: Site, images: Images) -> Iterator[Runtime]:
    """A sandbox with a volume, ready."""
    with Runtime(persistent, images.agent_server) as runtime:
        runtime.await_ready()
        yield runtime


@pytest.mark.usefixtures("alone")
def test_a_paused_sandbox_survives_a_restart_of_everything(
    runtime: Runtime, target: LocalTarget, progress: Progress
) -> None:
    old = {
        "apiVersion": "sandbox.openhands.dev/v1alpha1",
        "kind": "SandboxUsage",
        "metadata": {"name": usage_name("gone")},
        "spec": {"owner": "gone"},
        "status": {"through": "2020-01-01T12:00:00Z", "days": {"2020-01-01": {"default": {"runningSeconds": 60}}}},
    }
    runtime.site.kubectl("apply", "--filename", "-", body=old)
    runtime.run("mkdir kept; echo $RANDOM > kept/number")
    number = runtime.run("cat kept/number")
    runtime.pause()
    before = eventually(lambda: _usages(runtime.site), lambda found: any(found.get("default", {}).values()))

    deleted = runtime.site.delete_processes()
    cluster = Cluster(State.from_environment())
    records = [json.loads((cluster.state.pids / name).read_text()) for name in DAEMONS]
    assert end([Process(**record) for record in records]) == []
    target.up(progress)
    runtime.site.await_processes(deleted)

    found = runtime.look()
    assert identity(found) == runtime.identity
    assert found["status"] == "paused"
    assert runtime.condition()["reason"] == "Suspended"
    runtime.resume()
    assert runtime.run("cat kept/number") == number

    # The new leader takes up the records of usage, and deletes those whose days are all old.
    after = eventually(lambda: _usages(runtime.site), lambda found: "gone" not in found)
    assert all(after["default"][name] >= amount for name, amount in before["default"].items())


def _usages(site: Site) -> dict[str, dict[str, int]]:
    """Recorded totals by owner."""
    items = site.kubectl("get", "ohsu", "--output", "json")["items"]
    return {item["spec"]["owner"]: item["status"].get("total", {}) for item in items}

"""All processes of the node and of the project end, and come back."""

import json
from collections.abc import Iterator

import pytest

from cluster.runtime import Runtime, identity
from cluster.site import Site
from demo.local_target import LocalTarget
from demo.targets import Images
from local_cluster.cluster import DAEMONS, Cluster
from local_cluster.paths import State
from local_cluster.processes import Process, end
from local_cluster.progress import Progress


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
    runtime.run("mkdir kept; echo $RANDOM > kept/number")
    number = runtime.run("cat kept/number")
    runtime.pause()

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

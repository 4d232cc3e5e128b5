"""Restores on a real node, by docs/backup.md: a namespace that is lost, and a snapshot of etcd.

The seconds that each takes are printed: `pytest -s`.
"""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

import backup_page
from cluster.runtime import Runtime, identity
from cluster.site import Site, installed
from cluster.support import NAMESPACE, eventually
from cluster.test_pause_resume import CHECKSUM, MAKE_TREE
from demo.local_target import LocalTarget
from demo.release import NAME
from demo.targets import Images
from local_cluster.cluster import Cluster
from local_cluster.network import NODE_ADDRESS
from local_cluster.paths import State
from local_cluster.processes import Process, end
from local_cluster.progress import Progress

ENVIRONMENT = {"TOKEN": "of a client"}


@contextmanager
def timed(progress: Progress, what: str) -> Generator[None]:
    """Print how long this took."""
    began = time.monotonic()
    yield
    progress.say(f"  {time.monotonic() - began:6.1f} s: {what}")


def worked(site: Site, images: Images) -> Runtime:
    """A sandbox with a volume, on which there are 2,000 files."""
    runtime = Runtime(site, images.agent_server, environment=ENVIRONMENT)
    runtime.await_ready()
    assert runtime.run(MAKE_TREE) == "2000\n"
    return runtime


def again(runtime: Runtime, site: Site) -> None:
    """Use the sandbox by way of this release, where it must be the same one."""
    runtime.agent.close()
    runtime.site = site
    found = identity(runtime.look())
    assert (found[0], found[2]) == (runtime.identity[0], runtime.identity[2])
    runtime.identity = found
    runtime.agent = httpx.Client(
        base_url=site.url, headers={"X-Session-API-Key": found[2]}, timeout=60, trust_env=False
    )


def is_whole(runtime: Runtime, checksum: str) -> None:
    """Its workspace and its environment are as before."""
    assert runtime.run(CHECKSUM) == checksum
    assert runtime.run("echo $TOKEN") == "of a client\n"


def set_reclaim_policy(target: LocalTarget, namespace: str, policy: str) -> None:
    """Of all volumes of the namespace, also of those whose claims are gone."""
    patch = json.dumps({"spec": {"persistentVolumeReclaimPolicy": policy}})
    for volume in json.loads(target.kubectl("get", "persistentvolumes", "--output", "json"))["items"]:
        if volume["spec"].get("claimRef", {}).get("namespace") == namespace:
            target.kubectl("patch", "persistentvolume", volume["metadata"]["name"], f"--patch={patch}")


def test_a_namespace_that_is_lost_is_rebuilt_by_the_page(
    target: LocalTarget, images: Images, progress: Progress, tmp_path: Path
) -> None:
    namespace, kubeconfig = f"{NAMESPACE}-lost", State.from_environment().kubeconfig
    with installed(target, images, progress, namespace, sandboxClass="persistent") as site:
        key = site.release.api_key()
        runs, sleeps = worked(site, images), worked(site, images)
        checksums = [runtime.run(CHECKSUM) for runtime in (runs, sleeps)]
        sleeps.pause()
        set_reclaim_policy(target, namespace, "Retain")
        with timed(progress, "export"):
            backup_page.follow("Export", kubeconfig, NODE_ADDRESS, namespace, tmp_path)
    # Its namespace is being deleted from now on, while operator, gateway and one of the sandboxes run.
    with timed(progress, "end of the namespace"):
        target.kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=300s")
    with timed(progress, "restore of the objects"):
        backup_page.follow("Restore", kubeconfig, NODE_ADDRESS, namespace, tmp_path)
    began = time.monotonic()
    with installed(target, images, progress, namespace, sandboxClass="persistent") as site:
        try:
            assert site.release.api_key() == key
            again(runs, site)
            runs.await_ready()
            progress.say(f"  {time.monotonic() - began:6.1f} s: installation, until the running sandbox answers")
            is_whole(runs, checksums[0])
            again(sleeps, site)
            assert sleeps.condition()["reason"] == "Suspended"
            sleeps.resume()
            is_whole(sleeps, checksums[1])
            claim = sleeps.object()["status"]["volumeClaim"]
            sleeps.call("stop")
            site.kubectl("wait", "--for=delete", f"persistentvolumeclaim/{claim}", "--timeout=120s")
        finally:
            for runtime in (runs, sleeps):
                runtime.agent.close()
            # What is left of the volumes goes with the namespace.
            set_reclaim_policy(target, namespace, "Delete")


def recorded(state: State, name: str) -> Process:
    return Process(**json.loads((state.pids / name).read_text()))


def etcd_command(state: State) -> list[str]:
    """The command line of the etcd that runs."""
    return backup_page.command_line(recorded(state, "etcd").pid)


def restore(state: State, directory: Path, progress: Progress) -> None:
    """Lose the control plane and the kubelet, and start them again with the snapshot in this directory."""
    lost = ("kubelet", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")
    command = etcd_command(state)
    assert end([recorded(state, name) for name in lost]) == []
    backup_page.rewind_etcd(command, directory)
    Cluster(state).up(progress)


def test_sandboxes_are_as_in_a_snapshot_of_etcd_with_their_volumes_of_today(
    target: LocalTarget, images: Images, progress: Progress, tmp_path: Path
) -> None:
    state, namespace = State.from_environment(), f"{NAMESPACE}-snapshot"
    with installed(target, images, progress, namespace, sandboxClass="persistent") as site:
        runs, sleeps = worked(site, images), worked(site, images)
        sleeps.pause()
        with timed(progress, "snapshot"):
            backup_page.save_etcd(etcd_command(state), tmp_path)
        sleeps.resume()
        sleeps.run("echo later > tree/later.txt")
        checksums = [runtime.run(CHECKSUM) for runtime in (runs, sleeps)]
        runs.pause()
        new = worked(site, images)
        with timed(progress, "restore of etcd, until the cluster is ready"):
            restore(state, tmp_path, progress)
        began = time.monotonic()
        site.kubectl("rollout", "restart", f"deployment/{NAME}-operator", f"deployment/{NAME}-gateway")
        for process in ("operator", "gateway"):
            site.kubectl("rollout", "status", f"deployment/{NAME}-{process}", "--timeout=180s")
        eventually(lambda: reached(site), bool)
        for runtime in (runs, sleeps):
            again(runtime, site)
        runs.await_ready()
        progress.say(f"  {time.monotonic() - began:6.1f} s: until the running sandbox answers again")
        is_whole(runs, checksums[0])
        eventually(lambda: sleeps.condition()["reason"], lambda reason: reason == "Suspended")
        sleeps.resume()
        is_whole(sleeps, checksums[1])
        assert site.gateway.get(f"/sessions/{new.session_id}").status_code == 404
        for runtime in (runs, sleeps, new):
            runtime.agent.close()


def reached(site: Site) -> bool:
    """Whether the gateway answers at the node's address."""
    try:
        return site.gateway.get("/list").is_success
    except httpx.TransportError:
        return False

"""Up, killed, repaired and down: on a part of the machine set aside for it, whatever else runs."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.local_cluster.machine import HIDDEN, Machine
from local_cluster import images
from local_cluster.cluster import DAEMONS
from local_cluster.processes import Process, end

# Asks cluster DNS for an A record (RFC 1035, section 4) and prints the address, or nothing if there is no such name.
# Like every resolver it asks again, for 10 s: a datagram to a pod that is being replaced is lost, and none may be sent
# while the Service has no pod that is ready, as for a moment after the kubelet has been started again.
RESOLVE = """
import socket, struct, sys, time
labels = [label.encode() for label in sys.argv[1].split(".")]
question = b"".join(bytes([len(label)]) + label for label in labels) + struct.pack(">xHH", 1, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(1)
    deadline = time.monotonic() + 10
    while True:
        try:
            client.sendto(struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + question, ("10.96.0.10", 53))
            answer = client.recv(512)
            break
        except (TimeoutError, PermissionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
code = answer[3] & 15
assert code in (0, 3), code
print("" if code else socket.inet_ntoa(answer[-4:]), end="")
"""


def resolve(machine: Machine, name: str) -> str:
    done = machine.cluster("exec", "--", sys.executable, "-c", RESOLVE, name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pods(machine: Machine) -> set[str]:
    """The UIDs of all pods, which are running."""
    listed = machine.cluster("kubectl", "get", "pods", "--all-namespaces", "--output", "json")
    assert listed.returncode == 0, listed.stderr
    items = json.loads(listed.stdout)["items"]
    assert all(pod["status"]["phase"] == "Running" for pod in items)
    return {pod["metadata"]["uid"] for pod in items}


def make_pod_with_volume(machine: Machine, directory: Path) -> None:
    """A pod that runs with a dynamic volume."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    container = {
        "name": "pause",
        "image": images.PAUSE.reference,
        "imagePullPolicy": "Never",
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": "kept"}}],
    }
    items = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "kept"}, "spec": claim},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kept"}, "spec": pod},
    ]
    manifest = directory / "pod.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    for command in (["apply", "--filename", str(manifest)], ["wait", "--for=condition=Ready", "pod/kept"]):
        done = machine.cluster("kubectl", *command, "--timeout=60s")
        assert done.returncode == 0, done.stderr


def mounted(machine: Machine) -> set[str]:
    return set(machine.run("cat", "/proc/self/mounts").stdout.splitlines())


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine("ohs-lifecycle-test")
    yield made
    made.close()


@pytest.fixture
def kill(machine: Machine) -> Callable[..., None]:
    """Kills daemons by name."""

    def kill(*names: str) -> None:
        records = [json.loads((machine.state / "pids" / name).read_text()) for name in names]
        assert end([Process(**record) for record in records]) == []

    return kill


def test_up_repairs_what_was_killed_and_down_leaves_nothing(
    machine: Machine, kill: Callable[..., None], tmp_path: Path
) -> None:
    mounts = mounted(machine)
    assert machine.cluster("status").returncode == 3

    up = machine.cluster("up")
    assert up.returncode == 0, up.stderr
    assert "The cluster is up after" in up.stderr
    assert machine.cluster("status").returncode == 0
    assert machine.cluster("up").stderr == "The cluster is up already.\n"

    assert resolve(machine, "kubernetes.default.svc.cluster.local") == "10.96.0.1"
    assert resolve(machine, "a-1.sandbox.test") == ""
    assert machine.cluster("wildcard-dns", "sandbox.test", "10.96.5.5").returncode == 0
    assert resolve(machine, "a-1.sandbox.test") == resolve(machine, "sandbox.test") == "10.96.5.5"
    assert resolve(machine, "example.org") == ""

    make_pod_with_volume(machine, tmp_path)
    before = pods(machine)
    kill("etcd", "containerd", "kubelet", "kube-router")
    status = machine.cluster("status")
    assert status.returncode == 3
    assert [line.split()[1] for line in status.stdout.splitlines() if "FAIL" in line] == [
        "etcd",
        "containerd",
        "kubelet",
        "kube-router",
    ]
    repaired = machine.cluster("up")
    assert repaired.returncode == 0, repaired.stderr
    assert machine.cluster("status").returncode == 0
    # Nothing was lost: objects and DNS are as they were.
    assert pods(machine) == before
    assert len(list((machine.state / "volumes").iterdir())) == 1
    assert resolve(machine, "a-1.sandbox.test") == "10.96.5.5"

    # As after a restart of the machine: the directory is there, the network namespace is not.
    kill(*DAEMONS)
    assert machine.run("umount", machine.state / "network-namespace").returncode == 0
    anew = machine.cluster("up")
    assert anew.returncode == 0, anew.stderr
    assert "clear the remains of an earlier cluster" in anew.stderr
    assert machine.cluster("status").returncode == 0
    assert pods(machine) & before == set()
    assert not (machine.state / "volumes").exists()
    make_pod_with_volume(machine, tmp_path)

    # As after a crash: no daemon, no record of it; pods, shims, mounts and links are still there.
    kill(*DAEMONS)
    for record in (machine.state / "pids").iterdir():
        record.unlink()
    assert "(containerd-shim-runc-v2)" in machine.cluster("status").stdout
    down = machine.cluster("down")
    assert down.returncode == 0, down.stderr

    assert machine.processes() == []
    assert not machine.state.exists()
    assert mounted(machine) <= mounts
    assert machine.run("ip", "-oneline", "link").stdout.count("\n") == 1  # the loopback
    assert machine.run("ip", "route").stdout == ""
    assert "KUBE" not in machine.run("iptables-save").stdout
    assert machine.run("ipset", "list", "-name").stdout == ""
    assert machine.run("find", *HIDDEN, "-mindepth", "1").stdout == ""
    assert machine.run("find", "/sys/fs/cgroup", "-name", "kubepods*").stdout == ""
    assert machine.cluster("down").stderr == "There is no cluster.\n"


def test_a_machine_that_uses_the_service_range_is_left_as_it_is(machine: Machine) -> None:
    machine.run("ip", "link", "set", "lo", "up")
    machine.run("ip", "route", "add", "10.96.0.0/24", "dev", "lo")
    refused = machine.cluster("up")
    assert refused.returncode == 1
    assert "the host has routes within 10.96.0.0/16 already: ['10.96.0.0/24']" in refused.stderr
    assert "remedy:" in refused.stderr
    assert not machine.state.exists()
    assert machine.run("ip", "route").stdout == "10.96.0.0/24 dev lo scope link \n"

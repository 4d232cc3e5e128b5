"""Finds and removes everything of a cluster on this machine, running or not.

It does not need the cluster's daemons, so it also removes the remains of a killed cluster.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from local_cluster import egress, network
from local_cluster.errors import ClusterError
from local_cluster.node import NETWORK_NAME
from local_cluster.paths import STATE_VARIABLE, State
from local_cluster.processes import Process, end, read, running

PROGRAMS = frozenset(
    {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kube-router",
        "containerd",
        "containerd-shim-runc-v2",
        "containerd-shim-runsc-v1",
        "runsc",
    }
)
# Programs that are a kubelet, or have one in them.
KUBELETS = frozenset({"kubelet", "k3s", "k0s", "kubelite"})
CGROUPS = Path("/sys/fs/cgroup")
# Paths that the kubelet, containerd and CNI use with any configuration.
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
CONTAINER_LOGS = Path("/var/log/containers")
CNI_RESULTS = Path("/var/lib/cni/results")
SHIM_SOCKETS = Path("/run/containerd/s")


def processes(state: State) -> dict[Process, str]:
    """The daemons, the containers' processes, and all other processes in the node's network namespace, with names."""
    containers = [bundle.name for bundle in _entries(state.bundles)]
    node = _inode(state.namespace)
    found: dict[Process, str] = {}
    for process, directory in running():
        program = _program(directory)
        cgroup = read(directory / "cgroup")
        if (
            (program in PROGRAMS and f"{state.root}/" in read(directory / "cmdline"))
            or any(container in cgroup for container in containers)
            or (node is not None and node == _inode(directory / "ns" / "net"))
        ):
            found[process] = program
    return {process: name for process, name in found.items() if process.pid != os.getpid()}


def foreign_kubelet(state: State) -> int | None:
    """The pid of another kubelet on this machine, None if there is none (one in a container does not count).

    Two kubelets would use the same cgroups and fixed paths, and destroy each other's pods.
    """
    for process, directory in running():
        if (
            _program(directory) in KUBELETS
            and f"{state.root}/" not in read(directory / "cmdline")
            and _inode(directory / "ns" / "mnt") == _inode(Path("/proc/self/ns/mnt"))
        ):
            return process.pid
    return None


def mounts(state: State) -> list[Path]:
    """The mount points below the state directory, in the order in which they were made."""
    points = (parse_mount_point(line) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point.is_relative_to(state.root)]


def parse_mount_point(line: str) -> Path:
    """The mount point in a line of /proc/PID/mountinfo, where spaces and the like are octal escapes."""
    return Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), line.split()[4]))


def leftovers(state: State) -> list[str]:
    """Everything of the cluster on this machine, one line each; empty after `clear`."""
    alone = foreign_kubelet(state) is None
    return [
        *(f"process {process.pid} ({name})" for process, name in processes(state).items()),
        *(f"mount {point}" for point in mounts(state)),
        *(f"cgroup {path}" for path in _cgroups() if alone),
        *(f"file {path}" for path in outside(state)),
        *egress.leftovers(state),
        *network.leftovers(),
        *([f"directory {state.root}"] if state.root.exists() else []),
    ]


def clear(state: State) -> None:
    """End and remove all of it, the guarding routes last. Raises ClusterError with the names of what remains."""
    _check_owned(state)
    if (pid := foreign_kubelet(state)) is not None:
        raise ClusterError(
            f"another kubelet runs on this machine (pid {pid})",
            remedy="use that cluster (CLUSTER=current), or stop it; for another local cluster, run its own `down`",
        )
    # Twice: a shim may have started a container while the first list was made.
    for _ in range(2):
        if left := end(list(processes(state))):
            raise ClusterError(f"processes do not end: {[process.pid for process in left]}")
    files = outside(state)
    egress.disable(state)
    _unmount(state)
    network.delete_link()
    for path in files:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for directory in (DEVICE_PLUGINS, CONTAINER_LOGS, CNI_RESULTS, SHIM_SOCKETS):
        for empty in (directory, directory.parent):
            if empty not in (Path("/var/log"), Path("/run")):
                with suppress(OSError):
                    empty.rmdir()
    _remove_cgroups()
    if state.root.exists():
        shutil.rmtree(state.root)
    network.unguard_host()


def _check_owned(state: State) -> None:
    if state.root.exists() and any(state.root.iterdir()) and not state.marker.exists():
        raise ClusterError(
            f"{state.root} is not a cluster's directory ({state.marker.name} is missing), so it stays untouched",
            remedy=f"name an empty or absent directory in {STATE_VARIABLE}, or remove this one yourself",
        )


def _unmount(state: State) -> None:
    for lazily in ([], ["--lazy"]):
        if points := [str(point) for point in reversed(mounts(state))]:
            subprocess.run(["umount", *lazily, *points], capture_output=True)
    if left := mounts(state):
        # Deleting the directory would delete the contents of the mounts.
        raise ClusterError(
            f"cannot unmount {', '.join(map(str, left))}", remedy="end what uses it, then run this again"
        )


def outside(state: State) -> list[Path]:
    """Files of this cluster outside of its directory."""
    logs = [
        path for path in _entries(CONTAINER_LOGS) if path.is_symlink() and path.readlink().is_relative_to(state.root)
    ]
    results = [path for path in _entries(CNI_RESULTS) if path.name.startswith(f"{NETWORK_NAME}-")]
    plugins = [DEVICE_PLUGINS] if foreign_kubelet(state) is None and DEVICE_PLUGINS.exists() else []
    return [*logs, *results, *plugins, *_shim_sockets(state)]


def _shim_sockets(state: State) -> Iterator[Path]:
    for bundle in _entries(state.bundles):
        with suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
            address = json.loads((bundle / "bootstrap.json").read_text())["address"]
            path = Path(address.removeprefix("unix://"))
            if path.exists():
                yield path


def _cgroups() -> list[Path]:
    """The roots of the pods' cgroups: one for each controller (version 1), or one (version 2)."""
    return sorted([*CGROUPS.glob("kubepods"), *CGROUPS.glob("*/kubepods")])


def _remove_cgroups() -> None:
    # A cgroup is busy for a moment after its last process was killed.
    deadline = time.monotonic() + 10
    while roots := _cgroups():
        for root in roots:
            for directory, _, _ in os.walk(root, topdown=False):
                with suppress(OSError):
                    Path(directory).rmdir()
        if time.monotonic() > deadline:
            raise ClusterError(f"cgroups are still in use: {roots[0]}", remedy="see its cgroup.procs")
        time.sleep(0.05)


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _program(directory: Path) -> str:
    try:
        return Path(str((directory / "exe").readlink()).removesuffix(" (deleted)")).name
    except OSError:  # a kernel thread, or ended
        return ""


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino

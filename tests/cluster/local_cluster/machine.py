"""A part of this machine that looks like a whole one to a local cluster, so that tests can destroy what runs there."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from local_cluster.processes import Process, end

CGROUPS = Path("/sys/fs/cgroup")
# Fixed paths that a node writes to.
HIDDEN = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/run/containerd", "/run/nri")
_TOOLS = Path(__file__).parents[3] / "tools"


class Machine:
    """Namespaces of its own for network, mounts and cgroups, with an empty network and empty `HIDDEN` directories.

    `state` is a state directory for a cluster there. `close` ends everything that was started inside; what one of this
    name has left behind that was killed is ended and removed at the start.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.state = Path(f"/var/lib/{name}")
        end(_processes(name))
        self._clear()
        for hierarchy in _hierarchies():
            for cgroup in (hierarchy / name, hierarchy / name / "commands"):
                cgroup.mkdir()
                for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1: empty until set
                    if (cgroup / setting).exists() and not (cgroup / "cgroup.controllers").exists():
                        (cgroup / setting).write_text((hierarchy / setting).read_text())
        # It joins the cgroup first, which so becomes the root of its namespace, and leaves it to the commands' own:
        # in version 2 a cgroup with processes can have no children with controllers.
        setup = [*_join(name), "exec unshare --net --mount --cgroup --propagation=private sh -ec '"]
        setup += [*_join(f"{name}/commands"), *_mounts(), "echo ready; read end'"]
        self._holder = subprocess.Popen(
            ["sh", "-ec", "\n".join(setup)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command inside, with LOCAL_CLUSTER_STATE set; its output is text."""
        enter = f'exec nsenter --target={self._holder.pid} --net --mount --cgroup --wdns="$PWD" -- "$@"'
        script = "\n".join([*_join(f"{self._name}/commands"), f"export LOCAL_CLUSTER_STATE={self.state}", enter])
        return subprocess.run(["sh", "-ec", script, "sh", *command], capture_output=True, text=True, cwd=_TOOLS)

    def cluster(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `local-cluster` inside."""
        return self.run(_TOOLS / "local-cluster", *arguments)

    def processes(self) -> list[Process]:
        """Everything that runs inside, but for this object's own process."""
        return [process for process in _processes(self._name) if process.pid != self._holder.pid]

    def close(self) -> None:
        end(self.processes())
        self._holder.communicate("end\n")
        self._clear()

    def _clear(self) -> None:
        for hierarchy in _hierarchies():
            for _ in range(100):  # a cgroup is busy for a moment after its last process ended
                if not _remove(hierarchy / self._name):
                    break
                time.sleep(0.05)
        shutil.rmtree(self.state, ignore_errors=True)


def _hierarchies() -> list[Path]:
    """The roots of the cgroup hierarchies: one in version 2, one for each set of controllers in version 1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def _processes(name: str) -> list[Process]:
    """Everything that runs in the cgroups of a machine."""
    pids = {
        int(pid)
        for hierarchy in _hierarchies()
        for procs in (hierarchy / name).rglob("cgroup.procs")
        for pid in procs.read_text().split()
    }
    return [process for pid in pids if (process := Process.of(pid)) is not None]


def _join(cgroup: str) -> list[str]:
    return [f"echo $$ > {hierarchy}/{cgroup}/cgroup.procs" for hierarchy in _hierarchies()]


def _mounts() -> list[str]:
    """Shell commands that show the cgroups from the namespace's root on, and hide the directories."""
    commands = [f"mkdir -p {path}; mount -t tmpfs none {path}" for path in HIDDEN]
    for hierarchy in _hierarchies():
        if (hierarchy / "cgroup.controllers").exists():
            kind = "cgroup2"
        elif hierarchy.name == "systemd":
            kind = "cgroup -o none,name=systemd"
        else:
            kind = f"cgroup -o {hierarchy.name}"
        commands.append(f"umount {hierarchy}; mount -t {kind} cgroup {hierarchy}")
    return commands


def _remove(root: Path) -> Sequence[Path]:
    """Remove cgroups from the leaves up; gives those that are still there."""
    for cgroup in sorted([*root.rglob("*/"), root], reverse=True):
        try:
            cgroup.rmdir()
        except OSError:
            continue
    return [root] if root.exists() else []

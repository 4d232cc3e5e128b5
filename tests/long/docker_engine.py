"""A Docker engine for the time of a test, of Debian's package, in a network namespace that leads nowhere.

Its bridges and rules of the firewall stay in the namespace, and no packet can leave it. Programs that use published
ports have to run inside.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local_cluster import packages
from local_cluster.network import Namespace
from local_cluster.progress import Progress

# Docker gives privileged containers all capabilities, and runc fails if it lacks one itself. So it gets those it has.
_RUNTIME = """\
import json, os, sys

def limit(path, find):
    with open(path) as file:
        whole = json.load(file)
    capabilities = find(whole).get("capabilities") or {}
    for kind, names in capabilities.items():
        capabilities[kind] = [name for name in names or [] if name not in MISSING]
    with open(path, "w") as file:
        json.dump(whole, file)

for option, value in zip(sys.argv, sys.argv[1:]):
    if option == "--bundle":
        limit(os.path.join(value, "config.json"), lambda whole: whole["process"])
    elif option == "--process":
        limit(value, lambda whole: whole)
os.execv(RUNC, ["runc", *sys.argv[1:]])
"""
_SYS_RESOURCE = 24
_CGROUPS = Path("/sys/fs/cgroup")
_START_TIMEOUT = 120.0


@dataclass(frozen=True)
class DockerEngine:
    """A running engine. `environment` has the variables with which clients find it, and the programs of its package."""

    namespace: Namespace
    environment: dict[str, str]

    def run(self, command: Sequence[str], **variables: str) -> str:
        """Run a command inside of the namespace, and return its output. Fails with it."""
        done = subprocess.run(
            [*self.namespace.enter, *command],
            env={**os.environ, **self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout


@contextmanager
def docker_engine(directory: Path) -> Generator[DockerEngine]:
    """An engine whose files are all below `directory`, which is removed at the end."""
    directory.mkdir()
    progress, log = Progress(), directory / "apt.log"
    packages.ensure(log, progress)
    files = packages.unpack("docker.io", log, progress, libraries=True)
    programs = f"{files}/usr/bin:{files}/usr/sbin:{os.environ['PATH']}"
    socket = directory / "docker.sock"
    engine = DockerEngine(Namespace(directory / "net"), {"PATH": programs, "DOCKER_HOST": f"unix://{socket}"})
    engine.namespace.create()
    try:
        engine.namespace.run(["ip", "link", "set", "lo", "up"])
        (directory / "daemon.json").write_text(
            json.dumps({"runtimes": {"here": {"path": str(_runtime(directory))}}, "default-runtime": "here"})
        )
        command = [
            *engine.namespace.enter,
            f"{files}/usr/sbin/dockerd",
            f"--config-file={directory / 'daemon.json'}",
            f"--data-root={directory / 'data'}",
            f"--exec-root={directory / 'exec'}",
            f"--pidfile={directory / 'pid'}",
            f"--host=unix://{socket}",
            f"--cgroup-parent=/{directory.name}",
        ]
        with (
            (directory / "dockerd.log").open("wb") as output,
            subprocess.Popen(command, env={**os.environ, **engine.environment}, stdout=output, stderr=output) as daemon,
        ):
            try:
                _await(engine, daemon, directory / "dockerd.log")
                yield engine
            finally:
                daemon.terminate()
    finally:
        for group in [*_CGROUPS.glob(directory.name), *_CGROUPS.glob(f"*/{directory.name}")]:
            group.rmdir()
        subprocess.run(["umount", engine.namespace.path], check=True)
        shutil.rmtree(directory)


def _await(engine: DockerEngine, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _START_TIMEOUT
    client = ["docker", "version"]
    while subprocess.run(client, env={**os.environ, **engine.environment}, capture_output=True).returncode != 0:
        waiting = daemon.poll() is None and time.monotonic() < until
        assert waiting, log.read_text(errors="replace")
        time.sleep(0.2)


def _runtime(directory: Path) -> Path:
    """runc, which gives containers no capability that this process lacks."""
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    missing = [] if bounding >> _SYS_RESOURCE & 1 else ["CAP_SYS_RESOURCE"]
    program = directory / "runtime"
    facts = f"MISSING = {missing!r}\nRUNC = {shutil.which('runc')!r}\n"
    program.write_text(f"#!{sys.executable} -IS\n{facts}{_RUNTIME}")
    program.chmod(0o755)
    return program

"""The commands of docs/backup.md, run as they are."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_cluster.build import binary, ensure
from local_cluster.kubectl import environment
from local_cluster.paths import ROOT
from local_cluster.progress import Progress

_FIRST = re.compile(r"^### (\w+)\n(?:(?!^#).)*?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OF_MEMBER = ("--name", "--initial-cluster", "--initial-advertise-peer-urls")


def follow(heading: str, kubeconfig: Path, host: str, namespace: str, directory: Path, **more: str) -> None:
    """Run the first commands below this heading, in a directory, for a namespace of the cluster at `host`.

    `more` are variables that they need besides NAMESPACE and CRDS.
    """
    done = attempt(heading, kubeconfig, host, namespace, directory, **more)
    assert done.returncode == 0, done.stdout + done.stderr


def attempt(
    heading: str, kubeconfig: Path, host: str, namespace: str, directory: Path, shell: str = "-euo", **more: str
) -> subprocess.CompletedProcess[str]:
    """The same, with the result. With "-uo" for `shell`, it goes on after a command that fails, as a person may."""
    variables = environment(kubeconfig, host) | {
        "NAMESPACE": namespace,
        "CRDS": str(ROOT / "helm/openhands-sandbox/crds"),
        **more,
    }
    return _run(heading, variables, binary("kubectl"), directory, shell)


def command_line(pid: int) -> list[str]:
    """Of this process, such as an etcd for `save_etcd`."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


def save_etcd(command: Sequence[str], directory: Path) -> None:
    """Take a snapshot of the etcd that runs with this command line, which listens on a Unix socket."""
    _use_etcd("Save", {"ENDPOINT": _flag(command, "--listen-client-urls")}, directory)


def rewind_etcd(command: Sequence[str], directory: Path) -> None:
    """Replace the data of the etcd with this command line, which has been stopped, by that of the snapshot."""
    data = _flag(command, "--data-dir")
    shutil.rmtree(data)
    member = " ".join(f"{name}={_flag(command, name)}" for name in _OF_MEMBER)
    _use_etcd("Rewind", {"DATA": data, "MEMBER": member}, directory)


def _use_etcd(heading: str, variables: Mapping[str, str], directory: Path) -> None:
    ensure(["etcd-tools"], Progress())
    done = _run(heading, {"PATH": "/usr/bin:/bin", **variables}, binary("etcdctl"), directory, "-euo")
    assert done.returncode == 0, done.stdout + done.stderr


def _flag(command: Sequence[str], name: str) -> str:
    return next(argument for argument in command if argument.startswith(f"{name}=")).partition("=")[2]


def _run(
    heading: str, variables: Mapping[str, str], tool: Path, directory: Path, shell: str
) -> subprocess.CompletedProcess[str]:
    commands = dict(_FIRST.findall((ROOT / "docs/backup.md").read_text()))[heading]
    environment = {**variables, "PATH": f"{tool.parent}:{variables['PATH']}"}
    return subprocess.run(
        ["bash", shell, "pipefail", "-c", commands], cwd=directory, env=environment, capture_output=True, text=True
    )

"""Paths: the checkout, the Go tool modules, the cache outside of the checkout, the state of the running cluster."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The root of the checkout."""
TOOLS = Path(__file__).parent / "tools"
STATE_VARIABLE = "LOCAL_CLUSTER_STATE"
DEFAULT_STATE = Path("/var/lib/openhands-sandbox-cluster")


def cache_dir() -> Path:
    """The cache of built binaries and images. Deleting it costs only time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "openhands-sandbox"


@dataclass(frozen=True)
class State:
    """The directory with everything of one running cluster."""

    root: Path

    @classmethod
    def from_environment(cls) -> "State":
        # Resolved, since the kernel's list of mounts has resolved paths.
        return cls(Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE).resolve())

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: one JSON event a line."""
        return self.logs / "audit.log"

    @property
    def pids(self) -> Path:
        return self.root / "pids"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def registry_hosts(self) -> Path:
        """What containerd knows of registries: a directory for each."""
        return self.config / "certs.d"

    @property
    def containerd(self) -> Path:
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.containerd / "containerd.sock"

    @property
    def bundles(self) -> Path:
        """One directory for each container, named by its id, for as long as its shim runs."""
        return self.containerd / "state" / "io.containerd.runtime.v2.task" / "k8s.io"

    @property
    def namespace(self) -> Path:
        """The mount that keeps the node's network namespace alive."""
        return self.root / "network-namespace"

    @property
    def marker(self) -> Path:
        """A file that marks the directory as a cluster's, so it may be deleted with all its contents."""
        return self.root / "cluster.json"

    @property
    def kubelet(self) -> Path:
        return self.root / "kubelet"

    @property
    def volumes(self) -> Path:
        """One directory for each dynamic volume."""
        return self.root / "volumes"

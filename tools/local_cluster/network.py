"""The node's network: a namespace of its own, joined to the host by one veth pair, with no way out.

Only the node's address can be reached from the host. Packets to pod and service addresses would leave by the host's
default route, so the host gets `unreachable` routes for them before anything starts, and loses them last.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_cluster.components import SERVICE_CIDR
from local_cluster.errors import ClusterError

POD_CIDR = "10.244.0.0/16"
NODE_POD_CIDR = "10.244.0.0/24"
HOST_ADDRESS = "198.18.0.1"
NODE_ADDRESS = "198.18.0.2"
LINK_CIDR = "198.18.0.0/30"
HOST_LINK = "ohs-host"
NODE_LINK = "ohs-node"
GUARDED = (POD_CIDR, SERVICE_CIDR)

SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    # Traffic between two pods of the node crosses only the bridge, but kube-proxy must see it.
    "net.bridge.bridge-nf-call-iptables": "1",
}


@dataclass(frozen=True)
class Namespace:
    """A network namespace kept alive by a mount on `path`."""

    path: Path

    @property
    def enter(self) -> list[str]:
        """The command prefix that runs a command inside. (`ip netns exec` would hide the cgroup mounts.)"""
        return ["nsenter", f"--net={self.path}", "--"]

    def create(self) -> None:
        self.path.touch(mode=0o600)
        run(["unshare", f"--net={self.path}", "true"])

    def run(self, command: Sequence[str]) -> str:
        return run([*self.enter, *command])


def run(command: Sequence[str]) -> str:
    """Run a command; returns its standard output. Raises ClusterError with its output."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def guard_host() -> None:
    """Make the pod and service ranges unreachable from the host. Raises ClusterError when something uses them."""
    for cidr in GUARDED:
        others = [route for route in routes_within(cidr) if route.get("type") != "unreachable"]
        if others:
            raise ClusterError(
                f"the host has routes within {cidr} already: {[route['dst'] for route in others]}",
                remedy="stop the cluster or network that uses this range, or use that cluster: CLUSTER=current",
            )
    for cidr in GUARDED:
        if not guarded(cidr):
            run(["ip", "route", "add", "unreachable", cidr])


def unguard_host() -> None:
    for cidr in GUARDED:
        if guarded(cidr):
            run(["ip", "route", "del", "unreachable", cidr])


def routes_within(cidr: str) -> list[dict[str, Any]]:
    """The host's routes to this range and to parts of it, from `ip -json route`."""
    return json.loads(run(["ip", "-json", "route", "show", "root", cidr]) or "[]")


def guarded(cidr: str) -> bool:
    return any(route.get("type") == "unreachable" and route["dst"] == cidr for route in routes_within(cidr))


def create(namespace: Namespace) -> None:
    """Make the namespace and its link to the host."""
    if shutil.which("modprobe"):  # a no-op where the modules are built in
        subprocess.run(["modprobe", "-a", "br_netfilter", "overlay"], capture_output=True)
    namespace.create()
    run(["ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", NODE_LINK, "netns", str(namespace.path)])
    run(["ip", "address", "add", f"{HOST_ADDRESS}/30", "dev", HOST_LINK])
    run(["ip", "link", "set", HOST_LINK, "up"])
    namespace.run(["ip", "address", "add", f"{NODE_ADDRESS}/30", "dev", NODE_LINK])
    namespace.run(["ip", "link", "set", NODE_LINK, "up"])
    namespace.run(["ip", "link", "set", "lo", "up"])
    # A packet of the node itself needs a route to a Service before kube-proxy's rules redirect it.
    namespace.run(["ip", "route", "add", SERVICE_CIDR, "dev", "lo", "src", NODE_ADDRESS])
    for name, value in SYSCTLS.items():
        namespace.run(["sysctl", "-q", "-w", f"{name}={value}"])


def link_exists() -> bool:
    return subprocess.run(["ip", "link", "show", "dev", HOST_LINK], capture_output=True).returncode == 0


def delete_link() -> None:
    """Delete the veth pair; deleting one end takes the other with it."""
    try:
        if link_exists():
            run(["ip", "link", "delete", HOST_LINK])
    except ClusterError:
        # The kernel may delete it at the same time, when the node's namespace is empty.
        if link_exists():
            raise


def leftovers() -> list[str]:
    """What still exists on the host's side."""
    left = [f"link {HOST_LINK}"] if link_exists() else []
    return left + [f"route unreachable {cidr}" for cidr in GUARDED if guarded(cidr)]

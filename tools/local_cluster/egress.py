"""Optional egress for pods, for a language model outside of the cluster. Off by default."""

import json
from pathlib import Path

from local_cluster.network import HOST_ADDRESS, LINK_CIDR, NODE_LINK, POD_CIDR, Namespace, run
from local_cluster.paths import State

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
COMMENT = ("-m", "comment", "--comment", "openhands-sandbox-cluster")
# The host's firewall lets packets from the node out, and the answers in. These rules are first in the chain, since the
# policy of FORWARD may be to drop.
HOST_RULES = (
    ("nat", "POSTROUTING", ("-s", LINK_CIDR, "!", "-d", LINK_CIDR, *COMMENT, "-j", "MASQUERADE")),
    ("filter", "FORWARD", ("-s", LINK_CIDR, *COMMENT, "-j", "ACCEPT")),
    (
        "filter",
        "FORWARD",
        ("-d", LINK_CIDR, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", *COMMENT, "-j", "ACCEPT"),
    ),
)


def record(state: State) -> Path:
    """A file that exists while egress is open. It has the host's former setting of forwarding."""
    return state.root / "egress.json"


def resolv_conf() -> str:
    """The resolver configuration with the real name servers, even if the host uses a local stub."""
    stub_target = Path("/run/systemd/resolve/resolv.conf")
    return (stub_target if stub_target.exists() else Path("/etc/resolv.conf")).read_text()


def enable(state: State, namespace: Namespace) -> None:
    """Let pods reach what the host can reach, with the node's address."""
    record(state).write_text(json.dumps({"forwarding": FORWARDING.read_text().strip()}))
    namespace.run(["ip", "route", "add", "default", "via", HOST_ADDRESS])
    masquerade = ["-s", POD_CIDR, "-o", NODE_LINK, *COMMENT, "-j", "MASQUERADE"]
    namespace.run(["iptables", "-w", "-t", "nat", "-A", "POSTROUTING", *masquerade])
    for table, chain, rule in HOST_RULES:
        run(["iptables", "-w", "-t", table, "-I", chain, *rule])
    FORWARDING.write_text("1")


def disable(state: State) -> None:
    """Undo the host's part. The namespace's part ends with the namespace."""
    if not record(state).exists():
        return
    for table, chain, rule in _present(state):
        run(["iptables", "-w", "-t", table, "-D", chain, *rule])
    FORWARDING.write_text(json.loads(record(state).read_text())["forwarding"])
    record(state).unlink()


def leftovers(state: State) -> list[str]:
    return [f"firewall rule in {table}/{chain}: {' '.join(rule)}" for table, chain, rule in _present(state)]


def _present(state: State) -> list[tuple[str, str, tuple[str, ...]]]:
    if not record(state).exists():  # never opened: do not touch the host's firewall at all
        return []
    ours = {
        (table, chain): run(["iptables", "-w", "-t", table, "-S", chain]).count(COMMENT[-1])
        for table, chain, _ in HOST_RULES
    }
    return [rule for rule in HOST_RULES if ours[rule[0], rule[1]]]

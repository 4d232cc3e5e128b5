"""What is expected of each attempt of `attempts.py`, and how a run is judged and shown. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.attempts import ATTEMPTS, CONTAINED, OPEN, STOPPED

DEFAULT, GVISOR, WEAKEST = "default", "gVisor", "weakest"
NO_EGRESS, OUTSIDE, NODE = "no egress", "outside", "node"
KINDS = (DEFAULT, GVISOR, WEAKEST, NO_EGRESS, OUTSIDE)
"""Where attempts run: in three sandboxes, in one with the egress profile None, and outside with a sandbox's key."""

BELOW = f"{STOPPED} or {CONTAINED}"
"""Where either is good, as gVisor's kernel answers some attempts itself."""
_OF_KERNEL = (STOPPED, BELOW, STOPPED)
_OF_FILES = (STOPPED, STOPPED, STOPPED)

EXPECTED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ATTEMPTS["kernel"], _OF_KERNEL),
    # The agent server and other commands of the same sandbox, which have the same user.
    "trace another process": (BELOW, BELOW, BELOW),
    # Kubernetes runs the pod's first process, which only waits, as the same user, too.
    "signal the pod's first process": (BELOW, BELOW, BELOW),
    "become root": (STOPPED, STOPPED, CONTAINED),
    "give a file capabilities": (STOPPED, BELOW, STOPPED),
    **dict.fromkeys(ATTEMPTS["files"], _OF_FILES),
    "find keys in the environment of its own container": (CONTAINED, CONTAINED, CONTAINED),
    "read memory, environment and files of side containers": (BELOW, BELOW, CONTAINED),
    "write the termination log, which no limit counts": (STOPPED, STOPPED, OPEN),
    "write to the image's own files": (STOPPED, STOPPED, CONTAINED),
}
"""Outcomes in the classes default, gVisor and weakest. What is open is in the threat model."""

NETWORK: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ATTEMPTS["network"], (STOPPED, STOPPED, STOPPED, STOPPED)),
    "send data out by names that the cluster's DNS looks up": (OPEN, OPEN, OPEN, STOPPED),
}
TARGETS = {
    "API server, by its Service": STOPPED,
    "API server, by the node's address": STOPPED,
    "kubelet": STOPPED,
    "kubelet's port without keys": STOPPED,
    "kube-proxy's health": STOPPED,
    "etcd": STOPPED,
    "gateway's pod": STOPPED,
    "gateway's Service": STOPPED,
    "gateway's port of the node": STOPPED,
    "gateway's metrics": STOPPED,
    "operator's metrics": STOPPED,
    "agent server of another sandbox": STOPPED,
    "cloud metadata": STOPPED,
    # That the others are stopped says something only because this one is not.
    "a pod that the profile allows": OPEN,
}
NOBODY_LISTENS = frozenset({"etcd", "kubelet's port without keys", "cloud metadata"})
"""Ports that nobody has opened on the node of the tests: etcd listens on a socket of the file system."""
_KEPT = (CONTAINED, BELOW, CONTAINED)
EXHAUSTION: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ATTEMPTS["exhaustion"], _KEPT),
    # Kubernetes has no limit of inodes for a pod: the kubelet evicts when the node has few.
    "inodes": (OPEN, f"{OPEN} or {CONTAINED}", OPEN),
    "output that fills the node's disk": (CONTAINED, BELOW, CONTAINED),
}
FLOOD = dict.fromkeys(ATTEMPTS["flood"], CONTAINED)


def differences(records: Mapping[str, Mapping[str, Any]], expected: Mapping[str, str]) -> list[str]:
    """Attempts whose outcome is not one that is expected, or that one of both sides does not know."""
    found: list[str] = []
    for name in [*expected, *(name for name in records if name not in expected)]:
        record, wanted = records.get(name), expected.get(name)
        if record is None or wanted is None:
            found.append(f"{name}: {'not tried' if record is None else 'nothing is expected of it'}")
        elif record["outcome"] not in wanted.split(" or "):
            said = f"{record['by']} {record['detail']}".strip()
            found.append(f"{name}: {record['outcome']} ({said}), expected {wanted}")
    return found


_CHUNK = 50
ALLOWED = 2.0
ALLOWED_WHILE_BUSY = 4.0
"""While all processors are busy. CPU is shared, not limited, so that each request waits for turns."""


def slowdown(
    samples: Sequence[tuple[float, float]], quiet: Sequence[tuple[float, float]], during: tuple[float, float]
) -> float:
    """How many times the p99 of quiet times, within chunks of 50 requests, the neighbour's p99 is meanwhile.

    Both are medians over chunks, so that one moment of a busy machine decides nothing. The unit is the slower end of
    the quiet chunks, which is the machine's own noise in this run.
    """
    calm = [value for window in quiet for value in _chunks(samples, window)]
    busy = _chunks(samples, during)
    assert len(calm) >= 4, "the neighbour was hardly asked in quiet times"
    assert busy, "the neighbour was hardly asked meanwhile"
    return statistics.median(busy) / statistics.quantiles(calm, n=10)[-1]


def _chunks(samples: Sequence[tuple[float, float]], window: tuple[float, float]) -> list[float]:
    within = [seconds for at, seconds in samples if window[0] <= at <= window[1]]
    parts = [within[at : at + _CHUNK] for at in range(0, len(within), _CHUNK)]
    # The rest is too small for a p99 of its own, unless there is nothing else.
    whole = [part for part in parts if len(part) == _CHUNK] or [part for part in parts if part]
    return [sorted(part)[int(0.99 * (len(part) - 1))] for part in whole]


def expectations(kind: str) -> dict[str, str]:
    """Name and outcome of each attempt that is made there."""
    if kind == OUTSIDE:
        return dict(FLOOD)
    targets = {f"connect to: {name}": (outcome,) * 3 + (STOPPED,) for name, outcome in TARGETS.items()}
    tables = {**EXPECTED, **NETWORK, **targets, **EXHAUSTION}
    column = KINDS.index(kind)
    return {name: outcomes[column] for name, outcomes in tables.items() if column < len(outcomes)}


_HEAD = """\
# What an attacker inside tried

Written by `TEST_WHOLE=1 ATTEMPTS_PAGE=docs/attempts.md pytest tests/cluster/test_attacker.py`, from a run on the local
cluster. Do not edit.

`tests/cluster/attempts.py` is one file of Python's standard library. It runs in a sandbox, through the agent server,
and tries what a hostile program would try.

- *stopped*: the attempt failed.
- *contained*: it succeeded, but its effect stays in the pod or has a limit.
- *open*: it reaches beyond the pod. The [threat model](threat-model.md) says what to do.

In parentheses is what stopped or limited it. The attempts ran in these places:

- default: a sandbox of the chart's class `default`, with smaller limits.
- gVisor: the same with the runtime class `gvisor`.
- weakest: as root, in a class with `agentServer`, `allowPrivilegeEscalation`, `allowRootGroup`, a writable root and a
  side container. Only `allowHostPath` would be weaker.
- no egress: a sandbox of the class `default` with the egress profile `None`.
- outside: a client outside of the cluster that has the session key of a sandbox.

The cluster enforces NetworkPolicies.
"""


def page(seen: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """docs/attempts.md."""
    parts = [_HEAD]
    groups: dict[str, list[str]] = {}
    for records in seen.values():
        for name, record in records.items():
            names = groups.setdefault(record["group"], [])
            if name not in names:
                names.append(name)
    for group, names in groups.items():
        kinds = [kind for kind in KINDS if any(name in seen.get(kind, {}) for name in names)]
        rows = [f"| {name} | {' | '.join(_cell(seen.get(kind, {}).get(name)) for kind in kinds)} |" for name in names]
        head = [f"| Attempt | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
        parts.append("\n".join([f"## {group.capitalize()}", "", *head, *rows, ""]))
    return "\n".join(parts)


def _cell(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    return f"{record['outcome']} ({record['by']})" if record["by"] else record["outcome"]

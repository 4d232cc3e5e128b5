"""The steps from a client's call to a sandbox that it can use: pure functions of what was seen when."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

STEPS: Mapping[str, str] = {
    "create": "the call until the pod is made: gateway, Sandbox, operator, Secret",
    "schedule": "until the pod has a node, less the volume",
    "volume": "from the scheduler's choice of a node until the volume is there",
    "container": "volume mounts, network and container, until the agent server's process runs",
    "imports": "the agent server imports its libraries",
    "startup": "the application starts, until it serves",
    "notice": "the kubelet's probe, until the pod is Ready",
    "seen": "operator and gateway, until the client has its answer",
}


class MissingTimeError(Exception):
    """A moment was not found; the text says which."""


@dataclass(frozen=True)
class Times:
    """Moments in seconds since the epoch, by clocks of one machine. `claimed` only if a volume had to be made."""

    called: float
    made: float
    claimed: float | None
    bound: float
    running: float
    imported: float
    serving: float
    ready: float
    answered: float


def steps(times: Times) -> dict[str, float]:
    """Seconds of each of `STEPS`; their sum is from the call to the answer."""
    scheduled = times.bound if times.claimed is None else times.claimed
    return {
        "create": times.made - times.called,
        "schedule": scheduled - times.made,
        "volume": times.bound - scheduled,
        "container": times.running - times.bound,
        "imports": times.imported - times.running,
        "startup": times.serving - times.imported,
        "notice": times.ready - times.serving,
        "seen": times.answered - times.ready,
    }


def request_time(
    audit: Iterable[Mapping[str, Any]], verbs: set[str], resource: str, user: str, *, until: float = math.inf
) -> float:
    """When the API server answered the last successful request of a kind, up to `until`.

    `audit` are lines of its audit log, `resource` may name a subresource (pods/binding), `user` begins the user
    agent. Raises MissingTimeError.
    """
    found = [
        moment
        for line in audit
        if line["verb"] in verbs
        and line["userAgent"].startswith(user)
        and line["responseStatus"]["code"] < 300
        and _resource(line["objectRef"]) == resource
        and (moment := seconds(line["stageTimestamp"])) <= until
    ]
    if not found:
        raise MissingTimeError(f"no {'/'.join(sorted(verbs))} of {resource} by {user} in the audit log")
    return found[-1]


def _resource(target: Mapping[str, str]) -> str:
    return "/".join(filter(None, [target["resource"], target.get("subresource")]))


def seconds(text: str) -> float:
    """An RFC 3339 time as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def process_start(text: str) -> float:
    """When a process started, from four numbers: now, uptime, start and ticks a second (see proc_pid_stat(5))."""
    now, uptime, start, ticks = (float(word) for word in text.split())
    return now - uptime + start / ticks


def medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each step over the runs."""
    return {name: statistics.median(run[name] for run in runs) for name in STEPS}

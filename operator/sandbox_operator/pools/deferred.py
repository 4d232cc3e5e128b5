"""Agent servers that boot before a sandbox claims them, and get their environment after the claim.

With `OH_DEFERRED_INIT` an agent server boots dormant: it answers 503, except to probes, until `POST /api/init`. This
request sets variables for later processes (agents, their commands) and a few of the server's own settings. Whatever the
server has read at boot stays. Source: openhands_agent_server 1.58.2, `init_router.py`, `config.py`, `env_parser.py`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from sandbox_common.environment import is_reserved
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.builders import environment
from sandbox_operator.pools.boot_variables import is_read_at_boot
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.status import reports
from sandbox_operator.watching.pods import Pod

DORMANT = {"name": "OH_DEFERRED_INIT", "value": "true"}
"""The entry of a container's `env` that makes its agent server boot dormant."""


@dataclass(frozen=True, slots=True)
class Initialization:
    """The result of an initialization. `failure` says why the agent server cannot be used; "" if it succeeded."""

    failure: str = ""
    ended: datetime | None = field(default=None, compare=False)


_COUNT = re.compile(r"[0-9]{1,9}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_WEBHOOKS = "OH_WEBHOOKS"
_WEBHOOK = re.compile(r"OH_WEBHOOKS_(0|[1-9][0-9]?)_([A-Z_]+)")
_TRACING = ("LMNR_", "OTEL_")
"""Tracing starts once: at boot if its settings are present then, otherwise at the initialization."""


def _text(value: str) -> str:
    return value


def _at_least(least: int) -> Callable[[str], int]:
    def count(value: str) -> int:
        if not _COUNT.fullmatch(value) or int(value) < least:
            raise ValueError("not a number that the agent server accepts")
        return int(value)

    return count


def _seconds(value: str) -> float:
    if not _SECONDS.fullmatch(value) or not float(value):
        raise ValueError("not a time that the agent server accepts")
    return float(value)


def _headers(value: str) -> dict[str, str]:
    headers: Any = orjson.loads(value)
    if not isinstance(headers, dict) or not all(isinstance(text, str) for text in headers.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        raise ValueError("not an object of strings")
    return headers  # pyright: ignore[reportUnknownVariableType]


_FIELDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "OH_CONVERSATIONS_PATH": ("conversations_path", _text),
    "OH_BASH_EVENTS_DIR": ("bash_events_dir", _text),
    "OH_CONVERSATION_WORKTREE_ROOT": ("conversation_worktree_root", _text),
    "OH_WEB_URL": ("web_url", _text),
    "OH_MAX_CONCURRENT_RUNS": ("max_concurrent_runs", _at_least(1)),
}
"""Variables that have their own field in the request, and how their values are parsed."""

_WEBHOOK_FIELDS: Mapping[str, Callable[[str], Any]] = {
    "BASE_URL": _text,
    "HEADERS": _headers,
    "EVENT_BUFFER_SIZE": _at_least(1),
    "FLUSH_DELAY": _seconds,
    "NUM_RETRIES": _at_least(0),
    "RETRY_DELAY": _at_least(0),
    "MAX_QUEUE_SIZE": _at_least(1),
    "MAX_BATCH_BYTES": _at_least(1),
    "MAX_QUEUE_BYTES": _at_least(1),
}


def fixed_differences(
    pool: Mapping[str, str], client: Mapping[str, str], sandbox: Sandbox, class_: SandboxClass
) -> tuple[str, ...]:
    """Sorted names of variables that cannot be changed in a booted pod of the pool; empty if the pod fits.

    `pool` is the environment with which the pod booted, `client` the one that the sandbox asks for. A variable that
    only the pool has cannot be removed.
    """
    booted = {**environment.defaults(class_), **pool}
    client = _effective(client, sandbox, class_)
    different = {name for name, value in client.items() if booted.get(name) != value}
    removed = _effective(pool, sandbox, class_).keys() - client.keys()
    traced = any(name.startswith(_TRACING) for name in booted)
    fixed = {name for name in different if not _can_come_late(name, client, traced=traced)}
    return tuple(sorted(removed | fixed))


def init_body(client: Mapping[str, str], sandbox: Sandbox, class_: SandboxClass) -> dict[str, Any]:
    """Body of `POST /api/init`, without the keys. `fixed_differences` of `client` must be empty."""
    client = _effective(client, sandbox, class_)
    body: dict[str, Any] = {"env": dict(client)}
    for name, (key, read) in _FIELDS.items():
        if name in client and _is_read(read, client[name]):
            body[key] = read(client[name])
    if webhooks := _webhooks(client):
        body["webhooks"] = webhooks
    return body


def needs_init(sandbox: Sandbox, pod: Pod) -> bool:
    """Whether the agent server of a claimed pod may wait for its initialization, as it does after each restart.

    False if the status has reported this run of the container as ready, which happens only after initialization.
    """
    if not (pod.deferred and pod.claimed and pod.is_ready):
        return False
    status = sandbox.status
    condition = status.condition(READY)
    is_reported = condition is not None and condition.status == "True" and reports(status, pod)
    return not is_reported or status.restart_count != pod.restarts


def _effective(client: Mapping[str, str], sandbox: Sandbox, class_: SandboxClass) -> dict[str, str]:
    """The environment without variables that the pod's `env` sets. They override a client's in a cold start, too."""
    of_pod = {entry["name"] for entry in environment.variables(sandbox, class_, "")}
    return {name: value for name, value in client.items() if name not in of_pod and not is_reserved(name)}


def _can_come_late(name: str, client: Mapping[str, str], *, traced: bool) -> bool:
    if name in _FIELDS:
        return _is_read(_FIELDS[name][1], client[name])
    if name.startswith(_WEBHOOKS):
        return _webhooks(client) is not None
    if name.startswith(_TRACING) and traced:
        return False
    return not is_read_at_boot(name)


def _is_read(read: Callable[[str], Any], value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True


def _webhooks(client: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """The webhooks that these variables describe one by one; None if they use another form or are invalid."""
    found: dict[int, dict[str, Any]] = {}
    for name, value in _webhook_variables(client):
        match = _WEBHOOK.fullmatch(name)
        read = match and _WEBHOOK_FIELDS.get(match[2])
        if not match or not read or not _is_read(read, value):
            return None
        found.setdefault(int(match[1]), {})[match[2].lower()] = read(value)
    if sorted(found) != list(range(len(found))) or not all("base_url" in webhook for webhook in found.values()):
        return None
    return [found[index] for index in range(len(found))]


def _webhook_variables(client: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in client.items() if name.startswith(_WEBHOOKS))

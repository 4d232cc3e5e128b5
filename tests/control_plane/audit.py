"""The API server's audit log as a list of what was written."""

import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from control_plane.waiting import eventually
from local_cluster.audit_log import BY_CLOCK, events, request_kind, tally
from sandbox_common.kube import ApiError, KubeClient
from sandbox_common.kube.resources import PODS

_MARKER = "marker-"
"""How the names begin that are read to await the log."""
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Write:
    """One request that asked for a change.

    `what` is like `create pods` or `patch sandboxes/status`; `name` is empty when a create was refused. `source` is the
    address that it came from, `at` the server's time when it came.
    """

    what: str
    name: str
    code: int
    user_agent: str
    source: str
    at: datetime

    @property
    def resource(self) -> str:
        """The resource that was to be written, without its subresource."""
        return self.what.split()[1].partition("/")[0]


class Audit:
    """Reads the audit log anew on each call; it is the size of one test run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def writes(self, client: KubeClient, namespace: str, user_agent: str = "") -> list[Write]:
        """All writes in a namespace so far whose user agent starts with `user_agent`, refused ones included.

        Those of Leases and of usage are left out: they come with time, whatever else happens.
        The log is first awaited up to a read that is sent now, so nothing that has been answered is missed.
        """
        await self._caught_up(client, namespace)
        return [
            write
            for write in self._writes(namespace)
            if write.user_agent.startswith(user_agent) and write.resource not in BY_CLOCK
        ]

    async def writes_of(self, client: KubeClient, namespace: str, resource: str) -> list[Write]:
        """All writes of this resource in a namespace so far, awaited likewise."""
        await self._caught_up(client, namespace)
        return [write for write in self._writes(namespace) if write.resource == resource]

    async def tally(self, client: KubeClient, namespace: str) -> Counter[tuple[str, str]]:
        """What `tally` gives for the log so far, awaited likewise; the reads of this method itself are not counted."""
        await self._caught_up(client, namespace)
        return tally((event for event in events(self._path) if _MARKER not in event["requestURI"]), namespace)

    async def _caught_up(self, client: KubeClient, namespace: str) -> None:
        marker = _MARKER + secrets.token_hex(8)
        with contextlib.suppress(ApiError):
            await client.get(PODS, namespace, marker)

        async def logged() -> bool:
            return any(events(self._path, containing=marker.encode()))

        await eventually(logged)

    def _writes(self, namespace: str) -> Iterator[Write]:
        for event in events(self._path):
            target: dict[str, str] = event.get("objectRef") or {}
            if event["stage"] != "ResponseComplete" or event["verb"] not in _WRITES:
                continue
            if target.get("namespace") != namespace:
                continue
            yield Write(
                request_kind(event),
                target.get("name", ""),
                event["responseStatus"]["code"],
                event.get("userAgent", ""),
                event["sourceIPs"][0],
                datetime.fromisoformat(event["requestReceivedTimestamp"]),
            )


def kinds(writes: Sequence[Write]) -> list[str]:
    """Sorted `what` of the writes."""
    return sorted(write.what for write in writes)

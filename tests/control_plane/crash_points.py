"""The kinds of API writes before and after which tests kill operator and gateway.

`operator/test_crash_points.py` and `gateway/test_crashes.py` do it for each kind here. At the end of a run, the audit
log must have no other kinds.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from local_cluster.audit_log import events, request_kind

OPERATOR = (
    "create events",
    "create leases",
    "create persistentvolumeclaims",
    "create pods",
    "create sandboxusages",
    "create secrets",
    "create services",
    "delete pods",
    "delete sandboxes",
    "delete sandboxusages",
    "delete secrets",
    "delete services",
    "patch leases",
    "patch persistentvolumeclaims",
    "patch pods",
    "patch sandboxes",
    "patch sandboxes/status",
    "patch sandboximages/status",
    "patch sandboxpools/status",
    "patch sandboxusages",
)
GATEWAY = ("create events", "create sandboxes", "create secrets", "delete sandboxes", "patch sandboxes")

_KINDS: Mapping[str, tuple[str, ...]] = {"sandbox-operator": OPERATOR, "sandbox-gateway": GATEWAY}
"""By the user agent of the process."""
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def untested_kinds(audit_log: Path) -> set[tuple[str, str]]:
    """Process and kind of each write in namespaces at which no test kills the process."""
    return set(_unknown(audit_log))


def _unknown(audit_log: Path) -> Iterator[tuple[str, str]]:
    for event in events(audit_log):
        process = event.get("userAgent", "").partition("/")[0]
        target: Mapping[str, str] = event.get("objectRef") or {}
        if process in _KINDS and event["verb"] in _WRITES and target.get("namespace"):
            kind = request_kind(event)
            if kind not in _KINDS[process]:
                yield process, kind

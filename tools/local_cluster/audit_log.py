"""The API server's audit log, read while the server writes it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson


def events(path: Path, offset: int = 0, containing: bytes = b"") -> Iterator[dict[str, Any]]:
    """The events of audit.k8s.io/v1 from the byte `offset` on, without bodies, in the order of their ends.

    Only events whose line contains the given bytes. An incomplete last line is omitted.
    """
    with path.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if containing in line and line.endswith(b"\n"):
                yield orjson.loads(line)


BY_CLOCK = frozenset({"leases", "sandboxusages"})
"""Resources that the operator writes as time goes by, whatever else happens. They belong to no budget of writes."""


def request_kind(event: Mapping[str, Any]) -> str:
    """Such as `create pods` or `patch sandboxes/status`."""
    target = event["objectRef"]
    return f"{event['verb']} {'/'.join(filter(None, [target['resource'], target.get('subresource')]))}"


def tally(logged: Iterable[Mapping[str, Any]], namespace: str) -> Counter[tuple[str, str]]:
    """The number of answered requests in a namespace by client and kind, without watches.

    The client is the user agent up to its first `/`. The kind of a refused request ends with its status code.
    """
    found: Counter[tuple[str, str]] = Counter()
    for event in logged:
        target: dict[str, str] = event.get("objectRef") or {}
        if event["stage"] != "ResponseComplete" or event["verb"] == "watch" or target.get("namespace") != namespace:
            continue
        code = event["responseStatus"]["code"]
        refused = f" ({code})" if code >= 400 else ""
        found[event.get("userAgent", "").partition("/")[0], f"{request_kind(event)}{refused}"] += 1
    return found

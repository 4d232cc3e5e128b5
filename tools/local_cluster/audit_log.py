"""The API server's audit log, read while the server writes it."""

from collections.abc import Iterator
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

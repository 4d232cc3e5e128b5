"""Reads and writes times of the Kubernetes API. People may write any time into an object."""

import re
from datetime import UTC, datetime

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Far enough from the limits of datetime to add a time limit to any time, or to subtract one."""

_LONG_YEAR = re.compile(r"\+?\d{5,}-")
_BEFORE = re.compile(r"-\d{4,}-")


def parse(text: str) -> datetime:
    """Parse an RFC 3339 time, limited to EARLIEST and LATEST. Without a zone, it is in UTC. Raises ValueError."""
    if _LONG_YEAR.match(text):
        return LATEST
    if _BEFORE.match(text):
        return EARLIEST
    time = datetime.fromisoformat(text)
    # A zone can lead beyond the limits of datetime.
    wall = time.replace(tzinfo=UTC)
    if not EARLIEST < wall < LATEST:
        return EARLIEST if wall <= EARLIEST else LATEST
    return wall if time.tzinfo is None else time


def utc_now() -> datetime:
    """The time of the wall clock."""
    return datetime.now(UTC)


def rfc3339(time: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, like `metav1.Time`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(time: datetime) -> str:
    """RFC 3339 in UTC with microseconds, like `metav1.MicroTime`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

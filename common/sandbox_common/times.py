"""Times of the Kubernetes API: as objects have them, where people can write any, and as they are written there."""

import re
from datetime import UTC, datetime

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""The other ends of time are so far away that a time limit can be added to any time, or taken from it."""

_LONG_YEAR = re.compile(r"\+?\d{5,}-")
_BEFORE = re.compile(r"-\d{4,}-")


def parse(text: str) -> datetime:
    """An RFC 3339 time, within EARLIEST and LATEST; without a zone it is in UTC. Raises ValueError."""
    if _LONG_YEAR.match(text):
        return LATEST
    if _BEFORE.match(text):
        return EARLIEST
    time = datetime.fromisoformat(text)
    # Zones can lead beyond what a datetime can hold.
    wall = time.replace(tzinfo=UTC)
    if not EARLIEST < wall < LATEST:
        return EARLIEST if wall <= EARLIEST else LATEST
    return wall if time.tzinfo is None else time


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def rfc3339(time: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, like `metav1.Time`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(time: datetime) -> str:
    """RFC 3339 in UTC with microseconds, like `metav1.MicroTime`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

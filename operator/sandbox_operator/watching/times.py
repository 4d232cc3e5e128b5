"""The time, and times as the API server writes them."""

from datetime import UTC, datetime

from sandbox_common.times import parse

__all__ = ["parse", "rfc3339", "rfc3339_micro", "utc_now"]


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def rfc3339(time: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, like `metav1.Time`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(time: datetime) -> str:
    """RFC 3339 in UTC with microseconds, like `metav1.MicroTime`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

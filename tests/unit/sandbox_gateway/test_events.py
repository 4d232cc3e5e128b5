"""Events as the recorders of both APIs write them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox_gateway.events import ClusterEvent, decode

CREATED = {"metadata": {"creationTimestamp": "2026-01-02T03:00:00Z"}}
REGARDING = {"kind": "Pod", "name": "sb-a-x"}


def at(minute: int) -> datetime:
    return datetime(2026, 1, 2, 3, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {
                "type": "Warning",
                "reason": "FailedMount",
                "note": "no such Secret",
                "regarding": REGARDING,
                "eventTime": None,
                "deprecatedFirstTimestamp": "2026-01-02T03:01:00Z",
                "deprecatedLastTimestamp": "2026-01-02T03:02:00Z",
                "deprecatedCount": 4,
            },
            ClusterEvent("Warning", "FailedMount", "no such Secret", "Pod sb-a-x", at(2), 4),
        ),
        (
            {"type": "Warning", "reason": "R", "regarding": REGARDING, "eventTime": "2026-01-02T03:01:00.000000Z"},
            ClusterEvent("Warning", "R", "", "Pod sb-a-x", at(1)),
        ),
        (
            {
                "regarding": REGARDING,
                "eventTime": "2026-01-02T03:01:00.000000Z",
                "series": {"count": 9, "lastObservedTime": "2026-01-02T03:05:00.000000Z"},
            },
            ClusterEvent("Normal", "", "", "Pod sb-a-x", at(5), 9),
        ),
        ({}, ClusterEvent("Normal", "", "", "", at(0))),
    ],
)
def test_events(fields: dict[str, Any], expected: ClusterEvent) -> None:
    assert decode({**CREATED, **fields}) == expected

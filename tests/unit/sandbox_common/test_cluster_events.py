"""Events as the recorders of both APIs write them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox_common.cluster_events import ClusterEvent, decode

CREATED = {"metadata": {"creationTimestamp": "2026-01-02T03:00:00Z"}}
REGARDING = {"kind": "Pod", "name": "sb-a-x", "uid": "uid-1"}


def at(minute: int) -> datetime:
    return datetime(2026, 1, 2, 3, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {
                "type": "Warning",
                "reason": "FailedMount",
                "note": "no such Secret",
                "regarding": REGARDING,
                "eventTime": None,
                "deprecatedFirstTimestamp": "2026-01-02T03:01:00Z",
                "deprecatedLastTimestamp": "2026-01-02T03:02:00Z",
                "deprecatedCount": 4,
                "deprecatedSource": {"component": "kubelet", "host": "node-1"},
                "reportingInstance": "",
            },
            ClusterEvent("FailedMount", "no such Secret", "Pod", "uid-1", at(2), "Warning", "sb-a-x", 4, "node-1"),
            id="older recorder",
        ),
        pytest.param(
            {
                "type": "Warning",
                "reason": "R",
                "regarding": REGARDING,
                "eventTime": "2026-01-02T03:01:00.000000Z",
                "deprecatedLastTimestamp": None,
            },
            ClusterEvent("R", "", "Pod", "uid-1", at(1), "Warning", "sb-a-x"),
            id="newer recorder, once",
        ),
        pytest.param(
            {
                "regarding": REGARDING,
                "eventTime": "2026-01-02T03:01:00.000000Z",
                "series": {"count": 9, "lastObservedTime": "2026-01-02T04:05:00.000000+01:00"},
            },
            ClusterEvent("", "", "Pod", "uid-1", at(5), "Normal", "sb-a-x", 9),
            id="newer recorder, a series",
        ),
        pytest.param({}, ClusterEvent("", "", "", "", at(0)), id="bare"),
    ],
)
def test_events_of_all_recorders(fields: dict[str, Any], expected: ClusterEvent) -> None:
    assert decode({**CREATED, **fields}) == expected


@pytest.mark.parametrize(
    "body",
    [{}, {"metadata": {}}, *({**CREATED, **fields} for fields in ({"eventTime": "soon"}, {"regarding": "pod"}))],
)
def test_what_is_no_event_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(body)

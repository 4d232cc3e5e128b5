"""What is told of pods that go."""

from typing import Any

import pytest

from sandbox_common.reasons import Reason
from sandbox_gateway.routing.departures import Departures
from unit.sandbox_gateway.support import status
from unit.sandbox_gateway.waking import Plane

P1: dict[str, Any] = {"status": {"podUID": "p1"}}
P2: dict[str, Any] = {"status": {"podUID": "p2"}}
NONE: dict[str, Any] = {"status": {"podUID": ""}}
LOST: dict[str, Any] = {"status": status(Reason.NODE_LOST, podUID="p1")}
GONE: dict[str, Any] = {"deleting": True}


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ([NONE, P1], 0),
        ([P1, P1, {"status": {"podUID": "p1", "restartCount": 1}}], 0),
        ([P1, P2], 1),
        ([P1, NONE], 1),
        ([P1, NONE, NONE, P2], 1),
        ([P1, GONE], 1),
        ([NONE, GONE], 0),
        ([P1, P2, GONE], 2),
        ([P1, LOST], 1),
        ([P1, LOST, LOST, P2], 1),
        # The node comes back, and is lost again.
        ([P1, LOST, P1, LOST], 2),
        ([LOST, GONE], 0),
        ([P1, GONE, {"uid": "uid-2", **P1}, {"uid": "uid-2", **P2}], 2),
    ],
)
async def test_each_departure_is_told_once(history: list[dict[str, Any]], told: int) -> None:
    plane = Plane()
    departures = Departures(plane.cache)
    names: list[str] = []
    departures.on_gone.append(names.append)
    for sight in history:
        plane.see(**sight)
    assert names == ["sb-a"] * told

"""What is told of suspensions, and which pods a suspension has left in the status."""

from typing import Any

import pytest

from sandbox_common.reasons import Reason
from unit.sandbox_gateway.support import sandbox, status
from unit.sandbox_gateway.waking import IDLE, Plane

RUN: dict[str, Any] = {}
REQUESTED = {"suspend": True, "suspendReason": "Requested"}


class Told(Plane):
    """A plane that writes down what is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.cache.suspensions.on_suspended.append(lambda name: self.told.append(f"{name} suspended"))
        self.cache.suspensions.on_woken.append(lambda name: self.told.append(f"{name} woken"))


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        ([RUN], []),
        ([IDLE], ["suspended"]),
        ([{}, IDLE, IDLE, RUN, RUN], ["suspended", "woken"]),
        ([REQUESTED, RUN], ["suspended"]),
        ([IDLE, REQUESTED, RUN], ["suspended"]),
        ([REQUESTED, IDLE, RUN], ["suspended", "woken"]),
        ([IDLE, RUN, IDLE, RUN], ["suspended", "woken"] * 2),
        ([IDLE, RUN, REQUESTED, RUN], ["suspended", "woken", "suspended"]),
    ],
)
@pytest.mark.parametrize("observed", [True, False])
async def test_each_change_is_told_once(specs: list[dict[str, Any]], told: list[str], observed: bool) -> None:
    plane = Told()
    for generation, spec in enumerate(specs, 1):
        plane.see(generation=generation, spec=spec, status={"observedGeneration": generation if observed else 0})
    assert plane.told == [f"sb-a {what}" for what in told]


async def test_a_new_sandbox_of_the_same_name_is_another() -> None:
    plane = Told()
    plane.see(spec=IDLE)
    plane.see(spec=IDLE, deleting=True)
    plane.see(uid="uid-2")
    plane.see(uid="uid-2", spec=IDLE)
    assert plane.told == ["sb-a suspended"] * 2


@pytest.mark.parametrize(
    ("history", "left"),
    [
        pytest.param([(1, RUN, 1, "p1")], False, id="running"),
        pytest.param([(1, RUN, 1, "p1"), (2, {"idleTimeoutSeconds": 5}, 1, "p1")], False, id="harmless change"),
        pytest.param([(1, RUN, 1, "p1"), (2, IDLE, 1, "p1"), (3, RUN, 1, "p1")], True, id="resumed at once"),
        pytest.param([(2, IDLE, 1, "p1"), (2, IDLE, 2, ""), (3, RUN, 2, "")], False, id="no pod any more"),
        pytest.param([(2, IDLE, 1, "p1"), (3, RUN, 3, "p1")], False, id="the operator says that it is there"),
        pytest.param([(2, IDLE, 1, "p1"), (3, RUN, 1, "p1"), (3, RUN, 3, "p2")], False, id="the next pod"),
        pytest.param(
            [(2, IDLE, 1, "p1"), (3, RUN, 1, "p1"), (3, RUN, 3, "p2"), (4, {"idleTimeoutSeconds": 5}, 3, "p2")],
            False,
            id="harmless change of the next pod",
        ),
        pytest.param(
            [(2, IDLE, 1, "p1"), (3, RUN, 1, "p1"), (4, IDLE, 1, "p1"), (5, RUN, 1, "p1")], True, id="twice at once"
        ),
        pytest.param([(2, {"restartedAt": "2026-01-02T03:04:06Z"}, 1, "p1")], True, id="restart"),
        pytest.param([(2, {"restartedAt": "2026-01-02T03:04:06Z"}, 2, "p1")], False, id="restart is done"),
        pytest.param([(2, {"restartedAt": "2026-01-02T03:04:04Z"}, 1, "p1")], False, id="restart before the pod"),
    ],
)
async def test_the_pod_that_a_suspension_has_left(
    history: list[tuple[int, dict[str, Any], int, str]], left: bool
) -> None:
    plane = Plane()
    for generation, spec, observed, pod in history:
        said = status(Reason.READY, observedGeneration=observed, podUID=pod, startTime="2026-01-02T03:04:05Z")
        plane.see(generation=generation, spec=spec, status=said)
    found = plane.cache.get("sb-a")
    assert found is not None
    assert plane.cache.suspensions.has_left(found) is left


async def test_one_that_was_never_seen_suspended() -> None:
    assert not Plane().cache.suspensions.has_left(sandbox(status=status(Reason.READY, observedGeneration=0)))

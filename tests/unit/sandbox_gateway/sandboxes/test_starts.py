"""Every start that a call of this replica has begun is observed once, when it ends."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from sandbox_common.kube import KubeObject
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox
from sandbox_gateway.sandboxes import starts
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.starts import Starts
from unit.sandbox_gateway.support import Classes, sandbox_object, status, unconnected_cache

FORMER: dict[str, Any] = {"firstReadyTime": "2026-01-02T03:00:00Z", "podUID": "p0", "launch": "Warm"}
NO_POD: dict[str, Any] = {"firstReadyTime": "2026-01-02T03:00:00Z", "podUID": "", "launch": ""}
PAUSED: dict[str, Any] = {"spec": {"suspend": True}}


class Plane:
    """A replica's cache and its starts; `told` are the observations, without their times."""

    def __init__(self) -> None:
        self._version = 0
        self.told: list[tuple[str, str]] = []
        self.seconds: list[float] = []
        self.ended = asyncio.Event()
        self.cache = unconnected_cache()
        self.starts = Starts(self.cache, cast("SandboxClasses", Classes()))

    def observe(self, launch: str, result: str, seconds: float) -> None:
        """Like metrics.observe_start."""
        self.told.append((launch, result))
        self.seconds.append(seconds)
        self.ended.set()

    def see(self, *, generation: int = 1, **fields: Any) -> Sandbox:
        """The Sandbox changes."""
        self._version += 1
        item: KubeObject = sandbox_object(version=self._version, **fields)
        item["metadata"]["generation"] = generation
        return self.cache.remember(item)

    def begin(self, *, ago: float = 0, **fields: Any) -> None:
        """A call that came so long ago has written the Sandbox."""
        self.starts.begin(self.see(**fields), asyncio.get_running_loop().time() - ago)


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Plane:
    plane = Plane()
    monkeypatch.setattr(starts, "observe_start", plane.observe)
    return plane


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ([{"status": status(Reason.READY, launch="Cold")}], ("Cold", "Ready")),
        ([{"status": status(Reason.READY, launch="Warm")}], ("Warm", "Ready")),
        (
            [
                {"status": status(Reason.STARTING, launch="Cold")},
                {"status": status(Reason.UNSCHEDULABLE, launch="Cold")},
                {"status": status(Reason.READY, launch="Cold")},
            ],
            ("Cold", "Ready"),
        ),
        ([{"status": status(Reason.IMAGE_NOT_FOUND, launch="Cold")}], ("Cold", "Failed")),
        ([{"status": status(Reason.POD_REFUSED, podUID="")}], ("Cold", "Failed")),
        ([{"status": status(Reason.STARTING, launch="Warm")}, PAUSED], ("Warm", "Paused")),
        ([{"deleting": True}], ("Cold", "Deleted")),
        ([{"uid": "uid-2"}], ("Cold", "Deleted")),
    ],
)
async def test_a_start_is_observed_once_when_it_ends(
    plane: Plane, history: list[dict[str, Any]], told: tuple[str, str]
) -> None:
    plane.begin()
    for fields in history:
        assert not plane.told
        plane.see(**fields)
    assert plane.told == [told]
    plane.see(status=status(Reason.CRASH_LOOP_BACK_OFF))
    plane.see(deleting=True)
    assert plane.told == [told]


async def test_its_time_runs_from_the_call_however_long_that_is_answered(plane: Plane) -> None:
    plane.begin(ago=100)
    plane.see(status=status(Reason.READY, launch="Cold"))
    [seconds] = plane.seconds
    assert seconds >= 100


async def test_one_that_ended_before_its_writes_answer_came_is_observed_too(plane: Plane) -> None:
    written = plane.see()
    plane.see(status=status(Reason.READY, launch="Warm"))
    plane.starts.begin(written, 0)
    assert plane.told == [("Warm", "Ready")]


async def test_what_no_call_of_this_replica_has_begun_is_not_observed(plane: Plane) -> None:
    plane.see()
    plane.see(status=status(Reason.READY, launch="Cold"))
    assert not plane.told


async def test_calls_that_overlap_are_one_start_from_the_first_of_them(plane: Plane) -> None:
    plane.begin(ago=100)
    plane.begin(generation=2)
    plane.see(generation=2, status=status(Reason.READY, launch="Cold", observedGeneration=2))
    assert plane.told == [("Cold", "Ready")]
    assert plane.seconds[0] >= 100


@pytest.mark.parametrize(
    "end",
    [
        status(Reason.READY, launch="Resume", observedGeneration=2),
        # The pod that is reported is still the former one, or there is none.
        status(Reason.POD_REFUSED, observedGeneration=2, **FORMER),
        status(Reason.POD_REFUSED, observedGeneration=2, **NO_POD),
    ],
)
async def test_a_resume_ends_with_what_is_reported_of_it_and_not_of_the_pod_before(
    plane: Plane, end: dict[str, Any]
) -> None:
    former = status(Reason.READY, **FORMER)
    plane.see(status=former, **PAUSED)
    plane.begin(generation=2, status=former)
    plane.see(generation=2, status=former)
    assert not plane.told
    plane.see(generation=2, status=end)
    assert [launch for launch, _ in plane.told] == ["Resume"]


async def test_after_a_pause_the_next_start_is_another(plane: Plane) -> None:
    plane.begin()
    plane.see(generation=2, spec={"suspend": True})
    plane.begin(generation=3)
    plane.see(generation=3, status=status(Reason.READY, launch="Cold", observedGeneration=3))
    assert plane.told == [("Cold", "Paused"), ("Cold", "Ready")]


async def test_the_end_of_its_patience_ends_it_although_nothing_changes(plane: Plane) -> None:
    plane.begin(spec={"pendingTimeoutSeconds": 1})
    since = datetime.now(UTC) - timedelta(seconds=0.9)
    held_up = status(Reason.UNSCHEDULABLE, launch="Cold", startingSince=since.isoformat().replace("+00:00", "Z"))
    plane.see(spec={"pendingTimeoutSeconds": 1}, status=held_up)
    assert not plane.told
    async with asyncio.timeout(5):
        await plane.ended.wait()
    assert plane.told == [("Cold", "Failed")]

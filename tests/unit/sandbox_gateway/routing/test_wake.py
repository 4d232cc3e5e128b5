"""Waking: one write for however many ask, only for idleness, and an end for every way that it can go."""

import asyncio
from typing import Any

import aiohttp
import pytest

from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_crds.api import TRACE_PARENT_ANNOTATION, TRACED_GENERATION_ANNOTATION
from sandbox_gateway.contract.retry import Passing
from sandbox_gateway.routing import wake
from sandbox_gateway.sandboxes import starts
from unit.exported_spans import Exported
from unit.sandbox_gateway.support import status
from unit.sandbox_gateway.waking import IDLE, Plane

NAME = "sb-a"
ASLEEP: dict[str, Any] = {"spec": IDLE, "status": status(Reason.IDLE, podIP="", podUID="")}
READY: dict[str, Any] = {"status": status(Reason.READY)}


@pytest.fixture
def plane() -> Plane:
    return Plane()


def observed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, float]]:
    """Launch, result and seconds of each start that is observed from now on."""
    told: list[tuple[str, str, float]] = []

    def observe(launch: str, result: str, seconds: float) -> None:
        told.append((launch, result, seconds))

    monkeypatch.setattr(starts, "observe_start", observe)
    return told


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_hundred_ask_and_one_write_is_made(plane: Plane) -> None:
    asleep = plane.see(**ASLEEP)
    held = [asyncio.create_task(plane.wakes.wake(NAME)) for _ in range(100)]
    await settle()
    assert plane.stored.patches == [
        {
            "metadata": {"resourceVersion": asleep["metadata"]["resourceVersion"]},
            "spec": {"suspend": False, "suspendReason": ""},
        }
    ]
    assert not any(task.done() for task in held)
    plane.see(generation=2, status=status(Reason.STARTING, observedGeneration=2))
    await settle()
    assert not any(task.done() for task in held)
    plane.see(generation=2, status=status(Reason.READY, observedGeneration=2))
    async with asyncio.timeout(5):
        await asyncio.gather(*held)


async def test_a_wake_has_one_span_which_the_operator_continues() -> None:
    exported = Exported()
    plane = Plane(tracing=exported.tracing)
    plane.see(**ASLEEP)
    held = [asyncio.create_task(plane.wakes.wake(NAME)) for _ in range(3)]
    await settle()
    [patch] = plane.stored.patches
    plane.see(generation=2, status=status(Reason.READY, observedGeneration=2, launch="Resume"))
    async with asyncio.timeout(5):
        await asyncio.gather(*held)
    [span] = exported.exporter.get_finished_spans()
    assert (span.name, exported.parent_of(span.name)) == ("wake sandbox", "")
    assert (span.attributes or {})["openhands.sandbox.launch"] == "Resume"
    assert span.context
    annotations = patch["metadata"]["annotations"]
    assert annotations == {
        TRACE_PARENT_ANNOTATION: f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-03",
        TRACED_GENERATION_ANNOTATION: "2",
    }


async def test_a_wake_that_fails_is_an_error() -> None:
    exported = Exported()
    plane = Plane(tracing=exported.tracing)
    plane.see(**ASLEEP)
    plane.stored.sandbox = None
    await plane.wakes.wake(NAME)
    assert (exported.spans["wake sandbox"].attributes or {})["error.type"] == "NoSandboxError"


@pytest.mark.parametrize(
    ("end", "result"),
    [
        ({"status": status(Reason.READY, podUID="p2", launch="Resume", observedGeneration=2)}, "Ready"),
        ({"status": status(Reason.POD_REFUSED, podUID="", observedGeneration=2)}, "Failed"),
        ({"deleting": True}, "Deleted"),
    ],
)
async def test_a_wake_is_observed_once_however_many_ask(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, end: dict[str, Any], result: str
) -> None:
    told = observed(monkeypatch)
    plane.see(**ASLEEP)
    began = asyncio.get_running_loop().time()
    held = [asyncio.create_task(plane.wakes.wake(NAME)) for _ in range(3)]
    await settle()
    assert not told
    plane.see(generation=2, **end)
    await asyncio.wait_for(asyncio.gather(*held), 5)
    [(launch, found, seconds)] = told
    assert (launch, found) == ("Wake", result)
    assert 0 <= seconds <= asyncio.get_running_loop().time() - began


async def test_the_old_pods_readiness_is_not_taken_for_the_new_ones(plane: Plane) -> None:
    """The pod goes so quickly that nothing was written meanwhile."""
    plane.see(generation=2, spec=IDLE, status=status(Reason.READY))
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    assert not held.done()
    plane.see(generation=3, status=status(Reason.READY, podUID="p2", observedGeneration=3))
    await asyncio.wait_for(held, 5)


async def test_nobody_waits_for_a_lost_node(plane: Plane) -> None:
    plane.see(generation=2, **ASLEEP)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    plane.see(generation=3, status=status(Reason.NODE_LOST, observedGeneration=3))
    await asyncio.wait_for(held, 5)
    endpoint = plane.directory.find_by_runtime_id(NAME)
    assert endpoint
    assert (endpoint.address, endpoint.wakes, endpoint.passing) == (None, False, Passing.STARTING)
    assert "NodeLost" in endpoint.cause


async def test_a_write_of_the_operator_comes_between(plane: Plane) -> None:
    plane.see(spec=IDLE, status=status(Reason.SUSPENDING))
    plane.see(cached=False, **ASLEEP)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    assert len(plane.stored.patches) == 2
    found = plane.cache.get(NAME)
    assert found is not None
    assert (found.spec.suspend, found.spec.suspend_reason) == (False, "")
    held.cancel()


async def test_another_replica_is_faster(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    told = observed(monkeypatch)
    plane.see(**ASLEEP)
    plane.see(generation=2, cached=False, status=status(Reason.IDLE))
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    assert len(plane.stored.patches) == 1, "it was refused, and needs no other"
    assert not held.done()
    plane.see(generation=2, status=status(Reason.READY, observedGeneration=2))
    await asyncio.wait_for(held, 5)
    assert not told, "it is the other replica's wake"


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("reason", ["Requested", "StartTimeout", ""])
async def test_nothing_else_is_woken(plane: Plane, reason: str, cached: bool) -> None:
    plane.see(**ASLEEP)
    plane.see(cached=cached, spec={"suspend": True, "suspendReason": reason}, status=status(Reason.SUSPENDED))
    await asyncio.wait_for(plane.wakes.wake(NAME), 5)
    assert len(plane.stored.patches) == (0 if cached else 1)
    found = plane.cache.get(NAME)
    assert found is not None
    assert found.spec.suspend_reason == reason


async def test_a_running_one_is_left_alone(plane: Plane) -> None:
    plane.see(**READY)
    await asyncio.wait_for(plane.wakes.wake(NAME), 5)
    assert plane.stored.patches == []


async def test_an_api_server_that_fails_is_asked_again(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_AGAIN_SECONDS", 0.01)
    plane.see(**ASLEEP)
    failures = [ApiError(500, "x", "y"), ApiError(429, "x", "y"), aiohttp.ClientConnectionError(), TimeoutError()]
    plane.stored.failures += failures
    held = asyncio.create_task(plane.wakes.wake(NAME))
    async with asyncio.timeout(5):
        while len(plane.stored.patches) <= len(failures):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    plane.see(**READY)
    await asyncio.wait_for(held, 5)


async def test_one_that_is_gone_is_forgotten(plane: Plane) -> None:
    plane.see(**ASLEEP)
    plane.stored.sandbox = None
    await asyncio.wait_for(plane.wakes.wake(NAME), 5)
    assert plane.cache.get(NAME) is None
    await asyncio.wait_for(plane.wakes.wake(NAME), 5)


async def test_one_that_is_deleted_meanwhile(plane: Plane) -> None:
    plane.see(**ASLEEP)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    plane.see(deleting=True)
    await asyncio.wait_for(held, 5)


async def test_who_leaves_disturbs_nobody(plane: Plane) -> None:
    plane.see(**ASLEEP)
    plane.stored.gate.clear()
    first, second = (asyncio.create_task(plane.wakes.wake(NAME)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    plane.stored.gate.set()
    await settle()
    assert not second.done()
    plane.see(**READY)
    await asyncio.wait_for(second, 5)
    assert len(plane.stored.patches) == 1


async def test_the_wake_goes_on_when_all_have_left(plane: Plane) -> None:
    plane.see(**ASLEEP)
    plane.stored.gate.clear()
    only = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    only.cancel()
    await settle()
    plane.stored.gate.set()
    await settle()
    found = plane.cache.get(NAME)
    assert found is not None
    assert not found.spec.suspend


async def test_a_start_that_fails_ends_it(plane: Plane) -> None:
    plane.see(**ASLEEP)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    plane.see(status=status(Reason.CRASH_LOOP_BACK_OFF))
    await asyncio.wait_for(held, 5)
    assert not plane.wakes.under_way(NAME)


async def test_a_pause_ends_it(plane: Plane) -> None:
    plane.see(**ASLEEP)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    plane.see(spec={"suspend": True, "suspendReason": "Requested"}, status=status(Reason.STARTING))
    await asyncio.wait_for(held, 5)
    assert len(plane.stored.patches) == 1


async def test_it_goes_on_while_the_process_drains(plane: Plane) -> None:
    plane.see(**ASLEEP)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    plane.held_calls.release()
    await settle()
    assert not held.done(), "requests that are held are in flight"
    plane.see(generation=2, status=status(Reason.READY, observedGeneration=2))
    await asyncio.wait_for(held, 5)


async def test_an_api_server_that_hangs_ends_it() -> None:
    plane = Plane(hold_seconds=0.05)
    plane.see(**ASLEEP)
    plane.stored.gate.clear()
    await asyncio.wait_for(plane.wakes.wake(NAME), 5)


async def test_a_sandbox_that_never_becomes_ready_ends_it() -> None:
    plane = Plane(hold_seconds=0.05)
    plane.see(**ASLEEP)
    await asyncio.wait_for(plane.wakes.wake(NAME), 5)
    assert not plane.wakes.under_way(NAME)


async def test_a_wake_is_under_way_until_it_has_settled(plane: Plane) -> None:
    plane.see(**ASLEEP)
    assert not plane.wakes.under_way(NAME)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    assert plane.wakes.under_way(NAME)
    plane.see(**READY)
    await asyncio.wait_for(held, 5)
    assert not plane.wakes.under_way(NAME)


async def test_another_replicas_wake_can_be_joined(plane: Plane) -> None:
    plane.see(**ASLEEP)
    plane.see(generation=2, status=status(Reason.IDLE))
    assert plane.wakes.under_way(NAME)
    held = asyncio.create_task(plane.wakes.wake(NAME))
    await settle()
    assert plane.stored.patches == []
    plane.see(generation=2, status=status(Reason.READY, observedGeneration=2))
    await asyncio.wait_for(held, 5)


async def test_a_resume_after_a_pause_is_no_wake(plane: Plane) -> None:
    plane.see(spec=IDLE)
    plane.see(spec={"suspend": True, "suspendReason": "Requested"})
    plane.see(generation=2)
    assert not plane.wakes.under_way(NAME)


async def test_a_wake_is_joined_no_longer_than_a_hold_lasts() -> None:
    plane = Plane(hold_seconds=0.05)
    plane.see(**ASLEEP)
    plane.see(generation=2, status=status(Reason.IDLE))
    assert plane.wakes.under_way(NAME)
    await asyncio.sleep(0.1)
    assert not plane.wakes.under_way(NAME)

"""The data plane's directory."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest

from sandbox_common.reasons import MEANINGS, Reason
from sandbox_gateway.contract.retry import Passing
from sandbox_gateway.proxy.directory import Endpoint, NoSandbox, PodAddress
from sandbox_gateway.routing import lookup
from sandbox_gateway.sandboxes.cache import SandboxCache
from unit.sandbox_gateway.support import KEYS, sandbox, status
from unit.sandbox_gateway.waking import IDLE, Plane

KEY = KEYS.session_key(KEYS.key_id("uid-1"))
OTHER_KEY = KEYS.session_key(KEYS.key_id("uid-2"))
REACHABLE = [reason for reason in Reason if MEANINGS[reason].reachable]
REQUESTED = {"suspend": True, "suspendReason": "Requested"}


@pytest.fixture
def plane() -> Plane:
    return Plane()


def found(plane: Plane) -> Endpoint:
    """The same by both ways."""
    endpoint = plane.directory.find_by_session_key(KEY)
    assert isinstance(endpoint, Endpoint)
    assert plane.directory.find_by_runtime_id("sb-a") == endpoint
    return endpoint


async def test_api_keys_are_those_in_force(plane: Plane) -> None:
    texts = ("good", "bad", "", "good ", "\ud800")
    assert [plane.directory.owner_of_api_key(text) for text in texts] == ["alice", None, None, None, None]


async def test_a_ready_sandbox_is_found_by_key_and_by_name(plane: Plane) -> None:
    plane.see(spec={"command": ["server", "--port", "1234"]}, status=status(Reason.READY, podIP="10.0.0.9"))
    for _ in range(2):
        assert found(plane) == Endpoint("sb-a", PodAddress("10.0.0.9", 1234, "pod", "p1"), owner="alice")
    assert plane.directory.find_by_runtime_id("sb-b") is None


async def test_the_ports_are_those_of_the_pod_whatever_is_wanted_by_now(plane: Plane) -> None:
    changed = {"command": ["server", "--port", "1234"], "servicePorts": {"work-1": 4000, "work-2": 5000, "vscode": 0}}
    ports = {"http": 60000, "work-1": 12000, "vscode": 60001}
    plane.see(spec=changed, status=status(Reason.READY, podIP="10.0.0.9", ports=ports))
    assert found(plane) == Endpoint("sb-a", PodAddress("10.0.0.9", 60000, "pod", "p1"), owner="alice")
    served = {name: plane.directory.find_service(f"{name}-sb-a") for name in ("work-1", "work-2", "vscode")}
    assert {name: service and service.endpoint and service.endpoint.address for name, service in served.items()} == {
        "work-1": PodAddress("10.0.0.9", 12000, "pod", "p1"),
        "work-2": None,
        "vscode": None,
    }


@pytest.mark.parametrize(
    ("class_name", "own", "ports"),
    [
        ("other", {}, {"vscode": 60001, "work-1": 12000, "work-2": 12001}),
        ("other", {"work-2": 8000, "vscode": 0}, {"vscode": None, "work-1": 12000, "work-2": 8000}),
        ("closed", {"work-1": 12000}, {"vscode": 60001, "work-1": None, "work-2": 3000}),
    ],
)
async def test_services_have_the_ports_that_are_declared(
    plane: Plane, class_name: str, own: dict[str, int], ports: dict[str, int | None]
) -> None:
    plane.see(spec={"className": class_name, "servicePorts": own}, status=status(Reason.READY, podIP="10.0.0.9"))
    for name, port in ports.items():
        service = plane.directory.find_service(f"{name}-sb-a")
        assert service is not None
        assert service.name == name
        if port is None:
            assert service.endpoint is None
            assert "servicePorts of its SandboxClass" in service.detail
        else:
            assert service.endpoint == Endpoint("sb-a", PodAddress("10.0.0.9", port, "pod", "p1"), owner="alice")


async def test_services_of_no_sandbox_and_no_services(plane: Plane) -> None:
    plane.see(status=status(Reason.READY))
    unknown = plane.directory.find_service("work-1-sb-b")
    assert unknown is not None
    assert (unknown.endpoint, "no sandbox sb-b" in unknown.detail) == (None, True)
    for label in ("sb-a", "8080-sb-a", "work-3-sb-a", ""):
        assert plane.directory.find_service(label) is None


async def test_services_of_a_sandbox_that_is_down_are_down_as_it_is(plane: Plane) -> None:
    for spec in (IDLE, REQUESTED, {}):
        plane.see(spec=spec, status=status(Reason.IDLE))
        service = plane.directory.find_service("work-1-sb-a")
        assert service is not None
        assert service.endpoint == plane.directory.find_by_runtime_id("sb-a")
        assert service.endpoint is not None
        assert service.endpoint.address is None


async def test_a_key_opens_its_own_sandbox_only(plane: Plane) -> None:
    assert not plane.directory.opens(KEY, "sb-a")
    plane.see(status=status(Reason.READY))
    assert plane.directory.opens(KEY, "sb-a")
    assert not plane.directory.opens(KEY, "sb-b")
    for wrong in ("", "ohs_", KEY[:-1], OTHER_KEY, "\ud800"):
        assert not plane.directory.opens(wrong, "sb-a")
    plane.see(deleting=True)
    assert not plane.directory.opens(KEY, "sb-a")


@pytest.mark.parametrize("key", ["", "ohs_", KEY[:-1], KEY + "A", KEY.replace("ohs", "OHS"), "\ud800"])
async def test_a_wrong_key_is_not_genuine(plane: Plane, key: str) -> None:
    plane.see(status=status(Reason.READY))
    assert plane.directory.find_by_session_key(key) is NoSandbox.NOT_GENUINE


async def test_a_genuine_key_of_a_deleted_sandbox_is_gone(plane: Plane) -> None:
    assert plane.directory.find_by_session_key(KEY) is NoSandbox.UNKNOWN
    plane.see(status=status(Reason.READY))
    plane.cache.forget(sandbox())
    assert plane.directory.find_by_session_key(KEY) is NoSandbox.GONE
    assert plane.directory.find_by_runtime_id("sb-a") is None


async def test_one_that_was_not_known_is_found_when_the_news_comes(plane: Plane) -> None:
    waiting = [asyncio.create_task(plane.directory.await_sandbox(key)) for key in (KEY, KEY, OTHER_KEY)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    plane.see(name="sb-b", uid="uid-b")
    await asyncio.sleep(0)
    assert not waiting[1].done()
    plane.see(status=status(Reason.READY))
    await asyncio.wait_for(waiting[1], 0.5)
    assert found(plane).address
    assert not waiting[2].done()
    waiting[2].cancel()


async def test_the_key_of_a_warm_pod_may_be_told_before_its_claim_is_known_here(plane: Plane) -> None:
    warm = KEYS.key_id("a-pod")
    plane.see()
    assert plane.directory.find_by_session_key(KEYS.session_key(warm)) is NoSandbox.UNKNOWN
    waiting = asyncio.create_task(plane.directory.await_sandbox(KEYS.session_key(warm)))
    await asyncio.sleep(0)
    plane.see(status=status(Reason.READY, keyID=warm))
    await asyncio.wait_for(waiting, 0.5)
    assert isinstance(plane.directory.find_by_session_key(KEYS.session_key(warm)), Endpoint)
    assert plane.directory.find_by_session_key(KEY) is NoSandbox.GONE


@pytest.mark.parametrize(("current", "found"), [(True, NoSandbox.GONE), (False, NoSandbox.UNKNOWN)])
async def test_without_news_it_is_gone_but_not_while_no_news_can_come(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, current: bool, found: NoSandbox
) -> None:
    monkeypatch.setattr(lookup, "_LAG_SECONDS", 0.01)
    monkeypatch.setattr(SandboxCache, "is_current", AsyncMock(return_value=current))
    await plane.directory.await_sandbox(KEY)
    assert plane.directory.find_by_session_key(KEY) is found
    plane.see(status=status(Reason.READY))
    assert isinstance(plane.directory.find_by_session_key(KEY), Endpoint), "it came late, but came"


@pytest.mark.parametrize("reason", REACHABLE)
async def test_one_that_misses_its_probe_is_still_asked(plane: Plane, reason: Reason) -> None:
    plane.see(status=status(Reason.READY, podIP="10.0.0.9"))
    plane.see(status=status(reason, "why", podIP="10.0.0.9"))
    assert found(plane).address == PodAddress("10.0.0.9", 60000, "pod", "p1")
    plane.see(status=status(reason, "why", podIP=""))
    assert found(plane).address is None


def test_only_a_pod_that_runs_and_was_ready_is_reachable_unready() -> None:
    assert REACHABLE == [Reason.NOT_RESPONDING, Reason.POD_NOT_READY]


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in {Reason.READY, *REACHABLE}])
async def test_one_that_is_not_ready_has_no_address_but_a_reason(plane: Plane, reason: Reason) -> None:
    plane.see(status=status(reason, "why"))
    endpoint = found(plane)
    assert (endpoint.address, endpoint.wakes, endpoint.wakes_on_websocket) == (None, False, False)
    assert (f"{reason}: why" in endpoint.cause, "why" in endpoint.detail) == (True, False)
    assert endpoint.passing == (None if MEANINGS[reason].lifecycle == "error" else Passing.STARTING)


@pytest.mark.parametrize(
    ("spec", "said", "words"),
    [
        (REQUESTED, status(Reason.READY), "paused. Resume it with POST /resume"),
        ({"suspend": True}, status(Reason.READY), "paused"),
        ({"suspend": True, "suspendReason": "StartTimeout"}, {}, "paused"),
        ({}, {}, "starting"),
    ],
)
@pytest.mark.parametrize("class_name", ["wakeful", "other"])
async def test_one_that_is_paused_or_new_has_no_address_and_sleeps_on(
    plane: Plane, spec: dict[str, Any], said: dict[str, Any], words: str, class_name: str
) -> None:
    plane.see(spec={**spec, "className": class_name}, status=said)
    endpoint = found(plane)
    assert (endpoint.address, endpoint.wakes, endpoint.wakes_on_websocket) == (None, False, False)
    assert (words in endpoint.detail, endpoint.passing) == (True, None if spec else Passing.STARTING)


@pytest.mark.parametrize(("class_name", "on_websocket"), [("wakeful", True), ("other", False)])
@pytest.mark.parametrize("reason", [Reason.READY, Reason.SUSPENDING, Reason.IDLE])
async def test_an_idle_one_wakes(plane: Plane, reason: Reason, class_name: str, on_websocket: bool) -> None:
    plane.see(spec={**IDLE, "className": class_name}, status=status(reason))
    endpoint = found(plane)
    assert (endpoint.address, endpoint.wakes, endpoint.wakes_on_websocket) == (None, True, on_websocket)
    assert endpoint.passing is None
    assert "X-Session-API-Key" in endpoint.detail
    assert "POST /resume" in endpoint.detail


@pytest.mark.parametrize(("class_name", "on_websocket"), [("wakeful", True), ("other", False)])
async def test_one_that_is_being_woken_can_be_waited_for(plane: Plane, class_name: str, on_websocket: bool) -> None:
    spec = {"className": class_name}
    plane.see(spec={**IDLE, **spec}, status=status(Reason.IDLE))
    plane.see(generation=2, spec=spec, status=status(Reason.UNSCHEDULABLE, "no room", observedGeneration=2))
    endpoint = found(plane)
    assert (endpoint.address, endpoint.wakes, endpoint.wakes_on_websocket) == (None, True, on_websocket)
    assert ("Unschedulable: no room" in endpoint.cause, endpoint.passing) == (True, Passing.STARTING)
    plane.see(generation=2, spec=spec, status=status(Reason.READY, observedGeneration=2))
    assert found(plane).address


async def test_no_request_goes_to_the_pod_that_a_suspension_has_left(plane: Plane) -> None:
    """Its address may be another sandbox's by now."""
    old = status(Reason.READY, podUID="old", podIP="10.0.0.1")
    plane.see(status=old)
    plane.see(generation=2, spec=IDLE, status=old)
    plane.see(generation=3, status=old)
    assert found(plane).address is None
    assert "starting" in found(plane).detail
    plane.see(generation=3, status=status(Reason.READY, podUID="new", podIP="10.0.0.2", observedGeneration=3))
    assert found(plane).address == PodAddress("10.0.0.2", 60000, "pod", "new")


async def test_a_harmless_change_of_the_spec_keeps_no_request_away(plane: Plane) -> None:
    """Not even while no operator is there to see it."""
    plane.see(status=status(Reason.READY))
    plane.see(generation=2, spec={"idleTimeoutSeconds": 5}, status=status(Reason.READY))
    assert found(plane).address == PodAddress("127.0.0.1", 60000, "pod", "p1")


RUN: dict[str, Any] = {}
RESTART = {"restartedAt": "2026-01-02T03:04:06Z"}
BRIEF = {"idleTimeoutSeconds": 5}


@pytest.mark.parametrize(
    ("specs", "up"),
    [
        pytest.param([RUN, BRIEF], True, id="harmless change"),
        pytest.param([RUN, BRIEF, BRIEF | {"warmStart": "Never"}], True, id="two of them"),
        pytest.param([RUN, IDLE], False, id="suspended"),
        pytest.param([RUN, IDLE, RUN], False, id="resumed at once"),
        pytest.param([RUN, IDLE, RUN, BRIEF], False, id="resumed at once and changed"),
        pytest.param([RUN, RESTART], False, id="restarted"),
    ],
)
async def test_requests_and_clients_agree_while_the_status_lags_behind(
    plane: Plane, specs: list[dict[str, Any]], up: bool
) -> None:
    """Both go by one answer to whether the sandbox is up; the operator has seen the first spec alone."""
    for generation, spec in enumerate(specs, 1):
        said = status(Reason.READY, podIP="10.0.0.9", startTime="2026-01-02T03:04:05Z")
        plane.see(generation=generation, spec=spec, status=said)
    _, seen = await plane.held_calls.until("sb-a", lambda _: True, 0)
    assert (found(plane).address is not None, seen.ready) == (up, up)


async def test_what_is_found_follows_every_change(plane: Plane) -> None:
    for generation, ip in enumerate(("10.0.0.1", "10.0.0.2", "10.0.0.3"), 1):
        plane.see(generation=generation, status=status(Reason.READY, podIP=ip, observedGeneration=generation))
        for _ in range(2):
            assert found(plane).address == PodAddress(ip, 60000, "pod", "p1")
    plane.see(generation=3, status=status(Reason.POD_FAILED, "it has crashed", observedGeneration=3))
    assert found(plane).address is None
    plane.see(generation=3, status=status(Reason.READY, podIP="10.0.0.4", observedGeneration=3))
    assert found(plane).address == PodAddress("10.0.0.4", 60000, "pod", "p1")
    seen = plane.cache.get("sb-a")
    assert seen is not None
    plane.cache.forget(seen)
    assert plane.directory.find_by_session_key(KEY) is NoSandbox.GONE

"""The idle watch between its caches, agent servers over HTTP and an API server that is played."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import structlog
from aiohttp import web

from sandbox_common.kube import ApiError, Informer
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.agents.agent_server import AgentServers
from sandbox_operator.idle import watch
from sandbox_operator.idle.check import Candidate
from sandbox_operator.idle.watch import IdleWatch
from sandbox_operator.sandboxes.api import Api
from sandbox_operator.watching.pods import Container, Pod, PodCondition
from sandbox_operator.watching.store import Store
from unit.sandbox_operator.faults import Server
from unit.sandbox_operator.samples import KEYS, POD_UID, VOLUME, at_home, pod, sandbox, status

TIMEOUT = 100


class Pods:
    """A cache of pods that is filled by hand."""

    def __init__(self) -> None:
        self.known: dict[str, Pod] = {}

    def get(self, name: str) -> Pod | None:
        """As Informer."""
        return self.known.get(name)


class World:
    """All that a watch has around it. The sandbox `one` is ready, and its agent server has been idle for 500 s."""

    def __init__(self, agents: AgentServers) -> None:
        self.server = Server()
        self.now = 1000.0
        self.begun = False
        self.pods = Pods()
        self.sandboxes = Store(SANDBOXES, Sandbox, lambda _: None)
        self.classes = Store(SANDBOX_CLASSES, SandboxClass, lambda _: None)
        self.info: dict[str, float] = {"uptime": 5000, "idle_time": 500}
        self.running = 0
        self.asked = 0
        self.port = 0
        self.watch = IdleWatch(
            Api(self.server.client, "here"),
            agents,
            None,
            self.sandboxes,
            self.classes,
            cast(Informer[Pod], self.pods),
            lambda: self.now,
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """As an agent server."""
        self.asked += 1
        return web.json_response(self.info if request.path == "/server_info" else self.running)

    def add(
        self,
        reason: Reason = Reason.READY,
        *,
        deleted: bool = False,
        of_status: dict[str, str] | None = None,
        **spec: Any,
    ) -> None:
        """Put the Sandbox into the API server and into the cache."""
        command = ["agent-server", "--port", str(self.port)]
        of_spec: dict[str, Any] = {"idleTimeoutSeconds": TIMEOUT, "command": command, **spec}
        told = status(reason, pod_ip="127.0.0.1", **(of_status or {}))
        made = sandbox(status=told, deleted=deleted, **of_spec)
        item = made.model_dump(by_alias=True)
        self.server.objects["sandboxes", "one"] = item
        self.sandboxes.put(item)

    def see(self, **fields: Any) -> None:
        """The pod is found, or told of; it is ready and has run for 5010 s unless `fields` say otherwise."""
        since = datetime.now(UTC) - timedelta(seconds=5010)
        container = Container(True, 0, "", "", since, None)
        ready = PodCondition(True, "", "", since)
        made = replace(
            pod(), uid=POD_UID, phase="Running", container=container, ready=ready, **{"volume_claim": VOLUME, **fields}
        )
        self.pods.known[made.name] = made
        if self.begun:
            self.watch.pod_changed(made.name, made)
        else:
            self.watch.pods_found([made])

    @property
    def is_suspended(self) -> bool:
        return bool(self.server.objects["sandboxes", "one"]["spec"]["suspend"])


@asynccontextmanager
async def _world() -> AsyncGenerator[World]:
    async with AgentServers(KEYS, at_home) as agents:
        world = World(agents)
        app = web.Application()
        app.router.add_get("/{path:.*}", world.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        world.port = runner.addresses[0][1]
        yield world
        await runner.cleanup()


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    async with _world() as world:
        yield world


async def test_an_idle_sandbox_is_suspended_with_its_reason_and_an_event(world: World) -> None:
    world.add()
    world.see()
    await world.watch.check()
    stored = world.server.objects["sandboxes", "one"]
    assert (stored["spec"]["suspend"], stored["spec"]["suspendReason"]) == (True, "Idle")
    [event] = [body for (plural, _), body in world.server.objects.items() if plural == "events"]
    assert (event["reason"], event["type"], event["regarding"]["name"]) == ("SuspendedIdle", "Normal", "one")
    assert event["note"].startswith("Idle since 20")
    assert event["note"].endswith("Z, longer than the 100 s of its idle timeout.")
    # The cache has the answer, so that the next check does not do it again.
    assert world.watch.candidates() == []


@pytest.mark.parametrize("idle_time", [1e12, 1e300])
async def test_a_sandbox_that_says_absurd_things_is_left_alone(world: World, idle_time: float) -> None:
    """It must not end the check, which is for all."""
    world.add()
    world.see()
    world.info["idle_time"] = idle_time
    await world.watch.check()
    assert not world.server.objects["sandboxes", "one"]["spec"]["suspend"]


async def test_a_sandbox_that_has_changed_meanwhile_is_left_alone(world: World) -> None:
    world.add()
    world.see()
    world.server.objects["sandboxes", "one"]["metadata"]["resourceVersion"] = "8"
    await world.watch.check()
    assert not world.server.objects["sandboxes", "one"]["spec"]["suspend"]
    assert world.server.seen == ["patch sandboxes"]


@pytest.mark.parametrize("error", [ApiError(500, "", "no"), TimeoutError(), ConnectionError()])
async def test_a_write_that_fails_is_tried_again(world: World, error: Exception) -> None:
    world.add()
    world.see()
    world.server.fail["patch sandboxes"] = [error]
    await world.watch.check()
    assert not world.server.objects["sandboxes", "one"]["spec"]["suspend"]
    await world.watch.check()
    assert world.server.objects["sandboxes", "one"]["spec"]["suspend"]


@pytest.mark.parametrize(
    ("workspace", "kept", "suspended"),
    [
        pytest.param({}, False, False, id="it would be lost"),
        pytest.param({"persistent": True}, False, False, id="it would be lost, the class has volumes only now"),
        pytest.param({"discardOnSuspension": True}, False, True, id="the class accepts the loss"),
        pytest.param({"persistent": True}, True, True, id="it is kept"),
        pytest.param({}, True, True, id="it is kept, the class has no volumes any longer"),
        pytest.param(None, False, False, id="it would be lost, no class"),
    ],
)
async def test_no_workspace_is_lost_unless_the_class_accepts_it(
    world: World, workspace: dict[str, Any] | None, kept: bool, suspended: bool
) -> None:
    if workspace is not None:
        metadata = {"name": "default", "uid": "class", "resourceVersion": "1"}
        world.classes.put({"metadata": metadata, "spec": {"workspace": workspace}})
    world.add()
    world.see(volume_claim=VOLUME if kept else "")
    await world.watch.check()
    assert world.is_suspended is suspended
    if not suspended:
        assert (world.server.seen, world.asked) == ([], 0)


async def test_a_busy_sandbox_costs_no_write(world: World) -> None:
    world.add()
    world.see()
    world.running = 1
    await world.watch.check()
    assert world.asked == 2
    assert world.server.seen == []


def test_the_classs_timeout_holds_unless_the_sandbox_has_its_own() -> None:
    world = World(cast(AgentServers, None))
    metadata = {"name": "default", "uid": "class", "resourceVersion": "1"}
    world.classes.put({"metadata": metadata, "spec": {"idleTimeoutSeconds": 7}})
    world.see()
    world.add(idleTimeoutSeconds=None)
    assert [candidate.timeout for candidate in world.watch.candidates()] == [7]
    world = World(cast(AgentServers, None))
    world.see()
    world.add(idleTimeoutSeconds=0)
    assert [candidate.timeout for candidate in world.watch.candidates()] == [0]


def candidates(world: World) -> list[Candidate]:
    return world.watch.candidates()


@pytest.fixture
def alone() -> World:
    """A world without HTTP."""
    return World(cast(AgentServers, None))


@pytest.mark.parametrize("spec", [{"suspend": True}, {"deleted": True}])
def test_these_are_no_candidates(alone: World, spec: dict[str, Any]) -> None:
    alone.see()
    alone.add(**spec)
    assert candidates(alone) == []


def test_a_pod_that_is_not_the_statuss_is_none(alone: World) -> None:
    alone.add()
    assert candidates(alone) == []
    alone.see(deletion_requested=datetime.now(UTC))
    assert candidates(alone) == []
    alone.pods.known = {
        name: replace(pod, uid="another", deletion_requested=None) for name, pod in alone.pods.known.items()
    }
    assert candidates(alone) == []


def test_readiness_needs_both_the_pods_and_the_statuss(alone: World) -> None:
    alone.see()
    alone.add(Reason.STARTING)
    assert [candidate.ready_at for candidate in candidates(alone)] == [None]


def test_what_was_ready_from_the_beginning_has_been_for_who_knows(alone: World) -> None:
    alone.see()
    alone.add()
    assert [candidate.ready_at for candidate in candidates(alone)] == [-math.inf]


def test_what_becomes_ready_does_so_now_and_stays_so(alone: World) -> None:
    alone.begun = True
    alone.add()
    alone.see()
    alone.now = 2000.0
    alone.see()
    assert [(candidate.run, candidate.ready_at) for candidate in candidates(alone)] == [((POD_UID, 0), 1000.0)]


def test_a_restart_of_the_container_is_another_run(alone: World) -> None:
    alone.begun = True
    alone.add()
    alone.see()
    [known] = alone.pods.known.values()
    assert known.container
    again = replace(known, container=replace(known.container, restarts=1))
    alone.pods.known[known.name] = again
    # Not yet told to be ready again.
    assert [candidate.ready_at for candidate in candidates(alone)] == [None]
    alone.now = 2000.0
    alone.watch.pod_changed(known.name, again)
    assert [(candidate.run, candidate.ready_at) for candidate in candidates(alone)] == [((POD_UID, 1), 2000.0)]


async def test_the_idle_clock_starts_at_the_claim(world: World) -> None:
    """The agent server has been idle for 500 s, all of them in the pool."""
    world.begun = True
    world.see(name="pool-a", pool="pool")
    world.add(of_status={"pod_name": "pool-a"})
    world.now = 2000.0
    world.see(name="pool-a", pool="pool", sandbox="one", claimed=datetime.now(UTC))
    await world.watch.check()
    assert not world.is_suspended
    world.now += TIMEOUT - 1
    await world.watch.check()
    assert not world.is_suspended
    world.now += 1
    world.info["idle_time"] += TIMEOUT
    await world.watch.check()
    assert world.is_suspended


@pytest.mark.parametrize(("seconds", "suspended"), [(-3600, False), (TIMEOUT / 2, False), (2 * TIMEOUT, True)])
async def test_the_next_operator_knows_the_claim_by_the_wall_clock(
    world: World, seconds: float, suspended: bool
) -> None:
    world.see(name="pool-a", pool="pool", sandbox="one", claimed=datetime.now(UTC) - timedelta(seconds=seconds))
    world.add(of_status={"pod_name": "pool-a"})
    await world.watch.check()
    assert world.is_suspended == suspended


def test_a_pod_that_is_gone_is_forgotten(alone: World) -> None:
    alone.see()
    [name] = alone.pods.known
    alone.watch.pod_changed(name, None)
    alone.begun = True
    alone.see()
    alone.add()
    assert [candidate.ready_at for candidate in candidates(alone)] == [1000.0]


async def test_a_check_that_fails_is_not_the_last(alone: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.0)
    asked: list[str] = []
    third = asyncio.Event()

    def fail() -> list[Candidate]:
        asked.append("")
        if len(asked) == 3:
            third.set()
        raise RuntimeError("a bug")

    monkeypatch.setattr(alone.watch, "candidates", fail)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(alone.watch.run())
        await third.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert {entry["event"] for entry in logs} == {"idle check failed"}


def test_one_that_cannot_be_looked_at_keeps_no_other(alone: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alone.see()
    alone.add()
    get = alone.pods.get
    asked: list[str] = []

    def look(name: str) -> Pod | None:
        asked.append(name)
        if len(asked) == 1:
            raise OverflowError("date value out of range")
        return get(name)

    monkeypatch.setattr(alone.pods, "get", look)
    assert candidates(alone) == []
    assert len(candidates(alone)) == 1

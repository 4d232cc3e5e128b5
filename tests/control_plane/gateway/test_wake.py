"""Waking by traffic, through two gateways on the real API server, answered by a real upstream on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import httpx
import pytest

from control_plane.audit import Audit
from control_plane.gateway.process import Process
from control_plane.gateway.sleeper import NO_POD, EchoAgent, Sleeper, echo_agent, listening
from control_plane.gateway.support import Operator, refusal
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_common.reasons import Reason


@pytest.fixture
async def upstream() -> AsyncIterator[EchoAgent]:
    """The agent server of the sandbox's pods."""
    async with echo_agent() as running:
        yield running


@pytest.fixture
def hold_seconds() -> int:
    """How long requests are held."""
    return 50


@pytest.fixture
async def replicas(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, hold_seconds: int, api_keys: None
) -> AsyncIterator[list[str]]:
    """URLs of two gateways."""
    async with AsyncExitStack() as stack:
        settings = {"master_key_dir": master_key_dir, "wake_hold_seconds": hold_seconds}
        starting = [listening(control_plane, namespace, **settings) for _ in range(2)]
        yield [await stack.enter_async_context(replica) for replica in starting]


@pytest.fixture
async def sleeper(
    client: KubeClient, namespace: str, operator: Operator, audit: Audit, replicas: list[str], upstream: EchoAgent
) -> Sleeper:
    """A running sandbox behind two gateways."""
    sleeper = Sleeper(client, namespace, operator, audit, replicas)
    await sleeper.start(upstream)
    return sleeper


@pytest.fixture
async def processes(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, api_keys: None
) -> AsyncIterator[list[Process]]:
    """Two gateways as in production, in processes of their own."""
    common = (f"--namespace={namespace}", f"--master-key-dir={master_key_dir}")
    arguments = (*common, f"--kubeconfig={control_plane.kubeconfig}")
    started = await asyncio.gather(*(Process.start(*arguments) for _ in range(2)))
    await asyncio.gather(*(process.until_ready() for process in started))
    yield started
    await asyncio.gather(*(process.kill() for process in started))


async def test_a_hundred_requests_through_two_processes_are_one_write(
    client: KubeClient,
    namespace: str,
    operator: Operator,
    audit: Audit,
    processes: list[Process],
    upstream: EchoAgent,
) -> None:
    sleeper = Sleeper(client, namespace, operator, audit, [process.url for process in processes])
    await sleeper.start(upstream)
    await sleeper.suspend()
    held = [asyncio.create_task(sleeper.ask(n % 2, f"/{n}", b"%d" % n)) for n in range(100)]
    await sleeper.woken()
    assert not any(task.done() for task in held)
    await sleeper.become_ready()
    answers = await asyncio.gather(*held)
    assert [(one.status_code, one.content) for one in answers] == [(200, b"%d" % n) for n in range(100)]
    assert sorted(upstream.requests) == sorted(f"/{n}" for n in range(100))
    writes = await sleeper.writes()
    assert writes.count(200) == 1
    assert writes[1:] in ([], [409]), "the other replica may have tried at the same moment"

    # And again, while one of them ends.
    await sleeper.suspend()
    leaving, staying = asyncio.create_task(sleeper.ask(0)), asyncio.create_task(sleeper.ask(1))
    await sleeper.woken()
    processes[0].terminate()

    async def drains() -> bool:
        return "gateway drains" in processes[0].log

    await eventually(drains)
    await sleeper.become_ready()
    assert [(await leaving).status_code, (await staying).status_code] == [200, 200]
    code, log = await processes[0].ended()
    assert (code, "Traceback" in log, sleeper.key in log) == (0, False, False), log


async def test_one_that_comes_later_takes_part_at_the_other_replica(sleeper: Sleeper) -> None:
    await sleeper.suspend()
    first = asyncio.create_task(sleeper.ask(0))
    await sleeper.woken()
    await sleeper.operator.report(Reason.UNSCHEDULABLE, "no room", **NO_POD)

    async def unschedulable() -> bool:
        async with sleeper.http(1) as http:
            return "no room" in (await http.get("/health")).text

    await eventually(unschedulable)
    second = asyncio.create_task(sleeper.ask(1))
    await asyncio.sleep(0.2)
    assert not first.done()
    assert not second.done()
    await sleeper.become_ready()
    assert [(await first).status_code, (await second).status_code] == [200, 200]
    assert await sleeper.writes() == [200]


@pytest.mark.parametrize("reason", ["Requested", "StartTimeout", ""])
async def test_one_that_was_paused_otherwise_sleeps_on(sleeper: Sleeper, reason: str) -> None:
    await sleeper.suspend(reason)
    for replica in range(2):
        assert "POST /resume" in refusal(await sleeper.ask(replica), 503)
    assert await sleeper.writes() == []


async def test_health_checks_and_other_keys_do_not_wake(sleeper: Sleeper) -> None:
    await sleeper.suspend()
    async with sleeper.http(0) as http:
        for path in ("/health", "/alive", "/ready", "/server_info"):
            assert "wakes it" in refusal(await http.get(path), 503)
        refusal(await http.get("/a", headers={"X-Session-API-Key": sleeper.key[:-1] + "!"}), 401)
    assert await sleeper.writes() == []


async def test_a_pause_while_it_wakes(sleeper: Sleeper) -> None:
    await sleeper.suspend()
    held = [asyncio.create_task(sleeper.ask(n % 2)) for n in range(4)]
    await sleeper.woken()
    await sleeper.patch({"suspend": True, "suspendReason": "Requested"})
    for one in await asyncio.gather(*held):
        assert "paused" in refusal(one, 503)


async def test_a_deletion_while_it_wakes(sleeper: Sleeper, client: KubeClient, namespace: str) -> None:
    await sleeper.suspend()
    held = [asyncio.create_task(sleeper.ask(n % 2)) for n in range(4)]
    await sleeper.woken()
    await client.delete(SANDBOXES, namespace, sleeper.name)
    for one in await asyncio.gather(*held):
        refusal(one, 404)


@pytest.mark.parametrize("hold_seconds", [1])
async def test_one_that_is_not_ready_in_time(sleeper: Sleeper) -> None:
    await sleeper.suspend()
    answer = await sleeper.ask(0)
    assert "did not wake in time" in refusal(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    await sleeper.woken()
    await sleeper.become_ready()
    assert (await sleeper.ask(0)).status_code == 200
    assert await sleeper.writes() == [200]


async def create_class(client: KubeClient, namespace: str, spec: KubeObject) -> None:
    kind = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": SANDBOX_CLASSES.kind}
    await client.create(SANDBOX_CLASSES, namespace, {**kind, "metadata": {"name": "default"}, "spec": spec})


@pytest.mark.parametrize("in_handshake", [True, False])
async def test_a_websocket_wakes_where_the_class_says_so(
    sleeper: Sleeper, client: KubeClient, namespace: str, in_handshake: bool
) -> None:
    await create_class(client, namespace, {"wakeOnWebSocket": True})
    await sleeper.suspend()

    async def talk(replica: int) -> str:
        async with sleeper.websocket(replica, in_handshake=in_handshake) as websocket:
            await websocket.send_str("hello")
            heard = await websocket.receive_str(timeout=20)
            return heard if in_handshake else await websocket.receive_str(timeout=20)

    held = [asyncio.create_task(talk(n % 2)) for n in range(10)]
    await sleeper.woken()
    await sleeper.become_ready()
    assert await asyncio.gather(*held) == ["hello"] * 10
    assert (await sleeper.writes()).count(200) == 1


@pytest.mark.parametrize("has_class", [True, False])
async def test_a_websocket_does_not_wake_otherwise(
    sleeper: Sleeper, client: KubeClient, namespace: str, has_class: bool
) -> None:
    if has_class:
        await create_class(client, namespace, {})
    await sleeper.suspend()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with sleeper.websocket(0, in_handshake=True):
            pass
    assert caught.value.status == 503
    async with sleeper.websocket(1, in_handshake=False) as websocket:
        assert (await websocket.receive(timeout=20)).data == 1013
    assert await sleeper.writes() == []


async def test_a_suspension_cuts_what_is_under_way(sleeper: Sleeper, upstream: EchoAgent) -> None:
    silent = asyncio.create_task(sleeper.ask(0, "/silent"))
    await upstream.asked.wait()
    upstream.asked.clear()
    slow = asyncio.create_task(sleeper.ask(1, "/slow"))
    await upstream.asked.wait()
    async with sleeper.websocket(0, in_handshake=True) as websocket:
        await sleeper.suspend("Requested")
        assert "suspended" in refusal(await silent, 503)
        with pytest.raises(httpx.RemoteProtocolError):
            await slow
        await websocket.send_str("the agent server closes this one")
        assert await websocket.receive_str(timeout=20) == "the agent server closes this one"


async def test_no_request_goes_to_the_pod_of_before_a_suspension(sleeper: Sleeper, upstream: EchoAgent) -> None:
    """Its address is another pod's by now, for all that the gateway knows."""
    async with echo_agent("127.0.0.2", upstream.port) as next_pod:
        await sleeper.patch({"suspend": True, "suspendReason": "Requested"})
        resumed = await sleeper.patch({"suspend": False, "suspendReason": ""})

        async def knows() -> bool:
            return "starting" in (await sleeper.ask(0)).text

        assert resumed["status"]["podIP"] == "127.0.0.1"
        await eventually(knows)
        assert upstream.requests == []
        await sleeper.become_ready("127.0.0.2")

        async def answers() -> bool:
            return (await sleeper.ask(0)).status_code == 200

        await eventually(answers)
        assert upstream.requests == []
        assert next_pod.requests


async def test_a_harmless_change_of_the_spec_keeps_nobody_away(sleeper: Sleeper, upstream: EchoAgent) -> None:
    await sleeper.patch({"idleTimeoutSeconds": 600})
    for n in range(10):
        assert (await sleeper.ask(n % 2)).status_code == 200
    assert len(upstream.requests) == 10

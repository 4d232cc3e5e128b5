"""Holding answers, and the gateway's probe."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aiohttp import web

from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View
from sandbox_gateway.contract.errors import NoSandboxError
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.health import HealthChecks
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from unit.remains import remains
from unit.sandbox_gateway.support import Classes, sandbox, sandbox_object, status, unconnected_cache

CLASSES = cast("SandboxClasses", Classes())


class Agent:
    """An agent server's /health with a script."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.code = 200
        self.delay = 0.0

    async def health(self, _: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(self.delay)
        return web.Response(status=self.code, headers={"Location": "/elsewhere"})


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    agent = Agent()
    app = web.Application()
    app.router.add_get("/health", agent.health)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    agent.port = runner.addresses[0][1]
    yield agent
    await runner.cleanup()


@pytest.fixture
async def health() -> HealthChecks:
    return HealthChecks()


@pytest.fixture
def cache() -> SandboxCache:
    return unconnected_cache()


def settled(seen: View) -> bool:
    return seen.status != "starting"


def ready(agent: Agent, **fields: Any) -> dict[str, Any]:
    return {"spec": {"command": ["x", f"--port={agent.port}"]}, "status": status(Reason.READY, **fields)}


async def test_many_ask_and_the_agent_server_is_asked_once(agent: Agent, health: HealthChecks) -> None:
    agent.delay = 0.05
    found = sandbox(**ready(agent))
    assert not health.reached(found)
    assert await asyncio.gather(*(health.probe(found) for _ in range(10))) == [True] * 10
    assert health.reached(found)
    assert await health.probe(found)
    assert agent.asked == 1


@pytest.mark.parametrize("code", [503, 404, 204, 302])
async def test_only_200_counts(agent: Agent, health: HealthChecks, code: int) -> None:
    agent.code = code
    found = sandbox(**ready(agent))
    assert health.failure(found) == 0
    assert not await health.probe(found)
    assert not health.reached(found)
    assert health.failure(found) == code
    agent.code = 200
    assert await health.probe(found)
    assert health.failure(found) == 0


async def test_a_new_pod_and_a_new_readiness_are_probed_anew(agent: Agent, health: HealthChecks) -> None:
    assert await health.probe(sandbox(**ready(agent)))
    assert not health.reached(sandbox(**ready(agent, podUID="p2")))
    later = status(Reason.READY, since=datetime.now(UTC))
    assert not health.reached(sandbox(status=later))


async def test_one_caller_that_gives_up_does_not_stop_the_probe(agent: Agent, health: HealthChecks) -> None:
    agent.delay = 0.2
    found = sandbox(**ready(agent))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(health.probe(found), 0.05)
    assert await health.probe(found)
    assert agent.asked == 1


async def test_nothing_is_kept_of_a_sandbox_that_is_deleted_while_it_is_probed(
    agent: Agent, health: HealthChecks
) -> None:
    agent.delay = 0.05
    found = sandbox(**ready(agent))
    probing = asyncio.create_task(health.probe(found))
    await asyncio.sleep(0)
    health.forget(found.metadata.name)
    assert await probing
    assert not remains(health, [found.metadata.name, found.metadata.uid])


async def test_nothing_listens(health: HealthChecks, unused_tcp_port: int) -> None:
    command = ["x", "--port", str(unused_tcp_port)]
    found = sandbox(spec={"command": command}, status=status(Reason.READY))
    assert not await health.probe(found)
    assert health.failure(found) == 503


async def test_without_an_address_nobody_is_asked(agent: Agent, health: HealthChecks) -> None:
    assert not await health.probe(sandbox(**ready(agent, podIP="")))
    assert agent.asked == 0


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200", b"HTTP/1.1 99 Odd\r\n\r\n"])
async def test_what_is_no_answer_does_not_count(health: HealthChecks, answer: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        command = ["x", f"--port={server.sockets[0].getsockname()[1]}"]
        assert not await health.probe(sandbox(spec={"command": command}, status=status(Reason.READY)))


async def test_a_settled_sandbox_is_told_at_once(cache: SandboxCache, health: HealthChecks) -> None:
    cache.remember(sandbox_object(status=status(Reason.CRASH_LOOP_BACK_OFF)))
    async with asyncio.timeout(5):
        _, seen = await HeldCalls(cache, health, CLASSES).until("sb-a", settled, 60)
    assert seen.pod_status == "failed"


async def test_a_change_wakes_it(cache: SandboxCache, health: HealthChecks, agent: Agent) -> None:
    cache.remember(sandbox_object(version=1))
    held = asyncio.create_task(HeldCalls(cache, health, CLASSES).until("sb-a", settled, 60))
    await asyncio.sleep(0.05)
    cache.remember(sandbox_object(version=2, status=status(Reason.STARTING)))
    await asyncio.sleep(0.05)
    assert not held.done()
    cache.remember(sandbox_object(version=3, **ready(agent)))
    async with asyncio.timeout(5):
        _, seen = await held
    assert seen.ready


async def test_the_end_of_its_patience_wakes_it(cache: SandboxCache, health: HealthChecks) -> None:
    since = datetime.now(UTC) - timedelta(seconds=9.8)
    told = status(Reason.IMAGE_PULL_BACK_OFF, startingSince=since.isoformat())
    cache.remember(sandbox_object(spec={"pendingTimeoutSeconds": 10}, status=told))
    async with asyncio.timeout(5):
        _, seen = await HeldCalls(cache, health, CLASSES).until("sb-a", settled, 60)
    assert seen.pod_status == "failed"


async def test_a_failed_probe_is_tried_again(cache: SandboxCache, health: HealthChecks, agent: Agent) -> None:
    agent.code = 503
    cache.remember(sandbox_object(**ready(agent)))
    held = asyncio.create_task(HeldCalls(cache, health, CLASSES).until("sb-a", settled, 60))
    async with asyncio.timeout(5):
        while agent.asked < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not held.done()
    _, seen = await HeldCalls(cache, health, CLASSES).until("sb-a", settled, 0)
    assert (seen.unreached, seen.refused) == (True, 503)
    agent.code = 200
    async with asyncio.timeout(5):
        _, seen = await held
    assert (seen.ready, seen.refused) == (True, 0)


async def test_it_ends_with_the_bound_even_if_the_probe_hangs(
    cache: SandboxCache, health: HealthChecks, agent: Agent
) -> None:
    agent.delay = 60
    cache.remember(sandbox_object(**ready(agent)))
    async with asyncio.timeout(5):
        _, seen = await HeldCalls(cache, health, CLASSES).until("sb-a", settled, 0.1)
    assert (seen.pod_status, seen.unreached) == ("pending", True)


async def test_a_deletion_ends_it(cache: SandboxCache, health: HealthChecks) -> None:
    held_calls = HeldCalls(cache, health, CLASSES)
    with pytest.raises(NoSandboxError):
        await held_calls.until("sb-a", settled, 60)
    found = cache.remember(sandbox_object())
    held = asyncio.create_task(held_calls.until("sb-a", settled, 60))
    await asyncio.sleep(0.05)
    cache.forget(found)
    with pytest.raises(NoSandboxError):
        await asyncio.wait_for(held, 5)


async def test_a_release_lets_all_go_and_holds_no_more(cache: SandboxCache, health: HealthChecks) -> None:
    cache.remember(sandbox_object())
    held_calls = HeldCalls(cache, health, CLASSES)
    held = [asyncio.create_task(held_calls.until("sb-a", settled, 60)) for _ in range(3)]
    await asyncio.sleep(0.05)
    held_calls.release()
    async with asyncio.timeout(5):
        seen = await asyncio.gather(*held, held_calls.until("sb-a", settled, 60))
    assert [view.pod_status for _, view in seen] == ["pending"] * 4

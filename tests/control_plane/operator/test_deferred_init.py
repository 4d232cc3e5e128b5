"""Warm pods whose agent servers wait for their environment: they get it before anybody is told that they are ready."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from control_plane.operator.kubelet import POD_IP
from control_plane.operator.mortal import operator
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import PATIENCE, eventually
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import PODS, SECRETS
from sandbox_common.reasons import PoolReason, Reason
from sandbox_crds.models import Sandbox
from sandbox_crds.names import environment_secret_name
from sandbox_operator.agents import agent_server
from sandbox_operator.sandboxes import running
from sandbox_operator.watching.pods import Pod, decode

POOL = "pool"
POOLED = {"POOLED": "yes"}
CLIENT = {**POOLED, "TOKEN": "secret value"}


class Dormant:
    """The agent server of all pods; `answer` is the status of its next answers, `hold` keeps them back."""

    def __init__(self) -> None:
        self.port = 0
        self.state = "dormant"
        self.answer = 200
        self.hold: Callable[[], Awaitable[object]] = _at_once
        self.told: list[tuple[str, dict[str, Any]]] = []

    @property
    def command(self) -> list[str]:
        return ["agent-server", "--port", str(self.port)]

    async def _init(self, request: web.Request) -> web.Response:
        self.told.append((request.headers["X-Init-API-Key"], await request.json()))
        await self.hold()
        if self.state == "ready":
            return web.json_response({"detail": "server already in state: ready"}, status=400)
        if self.answer == 200:
            self.state = "ready"
        return web.json_response({"state": self.state}, status=self.answer)

    async def _look(self, _: web.Request) -> web.Response:
        return web.json_response({"state": self.state})

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Meanwhile it can be reached."""
        app = web.Application()
        app.router.add_post("/api/init", self._init)
        app.router.add_get("/api/init", self._look)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, POD_IP, 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()


async def _at_once() -> None:
    pass


@pytest.fixture
async def agent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dormant]:
    monkeypatch.setattr(agent_server, "_INIT_PAUSES", (0.02, 0.02))
    made = Dormant()
    async with made.listening():
        yield made


@pytest.fixture
async def basin(client: KubeClient, namespace: str) -> Basin:
    basin = Basin(client, namespace, "one")
    await basin.add_class()
    return basin


@pytest.fixture
def node(client: KubeClient, namespace: str) -> Node:
    return Node(client, namespace)


@pytest.fixture
async def warm(basin: Basin, node: Node, client: KubeClient, master_keys: MasterKeys, agent: Dormant) -> Pod:
    """The pod of a pool whose agent servers wait. No operator runs any more."""
    async with operator(client, basin.namespace, master_keys), node.running_all():
        await basin.add_pool(POOL, command=agent.command, environment=POOLED, deferredInit=True)
        await basin.told(PoolReason.FILLED, POOL)
    [pod] = await basin.free(POOL)
    return decode(pod)


async def add(basin: Basin, keys: MasterKeys, agent: Dormant, environment: dict[str, str]) -> Sandbox:
    """The Sandbox that the gateway makes of this environment, without its Secret."""
    return await basin.add(command=agent.command, environmentHash=keys.environment_hash(environment))


async def add_secret(basin: Basin, sandbox: Sandbox, environment: dict[str, str]) -> None:
    name = environment_secret_name(sandbox.metadata.name, sandbox.metadata.uid)
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": environment}
    await basin.client.create(SECRETS, basin.namespace, body)


async def start(basin: Basin, keys: MasterKeys, agent: Dormant, environment: dict[str, str] = CLIENT) -> Sandbox:
    """The same with its Secret, a little later."""
    sandbox = await add(basin, keys, agent, environment)
    await asyncio.sleep(0.05)
    await add_secret(basin, sandbox, environment)
    return sandbox


def expected(warm: Pod, keys: MasterKeys, environment: dict[str, str]) -> tuple[str, dict[str, Any]]:
    secret = keys.secret_key(warm.key_id)
    return secret, {"env": environment, "session_api_keys": [keys.session_key(warm.key_id)], "secret_key": secret}


@pytest.mark.parametrize("environment", [CLIENT, POOLED])
async def test_it_gets_its_environment_before_it_is_ready(
    basin: Basin,
    client: KubeClient,
    master_keys: MasterKeys,
    agent: Dormant,
    warm: Pod,
    environment: dict[str, str],
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        asked.set()
        await go_on.wait()

    agent.hold = hold
    async with operator(client, basin.namespace, master_keys):
        await start(basin, master_keys, agent, environment)
        await asyncio.wait_for(asked.wait(), PATIENCE)
        claimed = decode(await client.get(PODS, basin.namespace, warm.name))
        assert claimed.sandbox == "one"
        assert (await basin.sandbox()).status.condition("Ready") is None
        go_on.set()
        sandbox = await basin.until(Reason.READY)
    assert (sandbox.status.launch, sandbox.status.pool, sandbox.status.pod_uid) == ("Warm", POOL, warm.uid)
    assert agent.told == [expected(warm, master_keys, environment)]


async def test_the_next_operator_goes_on(
    basin: Basin, client: KubeClient, master_keys: MasterKeys, agent: Dormant, warm: Pod
) -> None:
    asked = asyncio.Event()

    async def never() -> None:
        asked.set()
        await asyncio.sleep(60)

    agent.hold = never
    async with operator(client, basin.namespace, master_keys):
        await start(basin, master_keys, agent)
        await asyncio.wait_for(asked.wait(), PATIENCE)
    agent.hold = _at_once
    async with operator(client, basin.namespace, master_keys):
        sandbox = await basin.until(Reason.READY)
    assert (sandbox.status.launch, sandbox.status.pod_uid) == ("Warm", warm.uid)
    assert agent.state == "ready"


async def test_one_that_has_been_initialized_is_found_so(
    basin: Basin, client: KubeClient, master_keys: MasterKeys, agent: Dormant, warm: Pod
) -> None:
    """The operator has died between the answer and the status."""
    agent.state = "ready"
    async with operator(client, basin.namespace, master_keys):
        await start(basin, master_keys, agent)
        sandbox = await basin.until(Reason.READY)
    assert (sandbox.status.launch, sandbox.status.pod_uid) == ("Warm", warm.uid)


@pytest.mark.parametrize("answer", [401, 422, 500])
async def test_a_pod_that_cannot_be_initialized_is_thrown_away(
    basin: Basin, node: Node, client: KubeClient, master_keys: MasterKeys, agent: Dormant, warm: Pod, answer: int
) -> None:
    agent.answer = answer
    async with operator(client, basin.namespace, master_keys):
        await start(basin, master_keys, agent)
        async with node.running_all():
            sandbox = await basin.until(Reason.READY)
            await basin.gone(PODS, warm.name)
    assert sandbox.status.launch != "Warm"
    assert sandbox.status.pod_uid != warm.uid
    assert sandbox.status.pool_miss.startswith("InitFailed: ")
    assert str(answer) in sandbox.status.pool_miss
    assert CLIENT["TOKEN"] not in str(sandbox.status)


async def test_a_restarted_one_gets_it_again(
    basin: Basin, node: Node, client: KubeClient, master_keys: MasterKeys, agent: Dormant, warm: Pod
) -> None:
    async with operator(client, basin.namespace, master_keys):
        await start(basin, master_keys, agent)
        await basin.until(Reason.READY)
        agent.state = "dormant"
        await node.report(warm.name, ready=True, restarts=1)
        sandbox = await basin.until(Reason.READY, keep=lambda it: it.status.restart_count == 1)
        assert agent.state == "ready"
    assert agent.told == [expected(warm, master_keys, CLIENT)] * 2
    assert (sandbox.status.launch, sandbox.status.pod_uid) == ("Warm", warm.uid)


async def test_a_restart_while_no_operator_ran(
    basin: Basin,
    node: Node,
    client: KubeClient,
    master_keys: MasterKeys,
    agent: Dormant,
    warm: Pod,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its pod has the only copy of the work, so it stays, and the initialization is tried again."""
    monkeypatch.setattr(running, "INIT_INTERVAL", timedelta(seconds=1))
    async with operator(client, basin.namespace, master_keys):
        await start(basin, master_keys, agent)
        await basin.until(Reason.READY)
    agent.state = "dormant"
    await node.report(warm.name, ready=True, restarts=1)
    agent.answer = 500
    async with operator(client, basin.namespace, master_keys), node.running_all():
        fails = await basin.until(
            Reason.STARTING, keep=lambda it: "It is tried again." in it.status.conditions[0].message
        )
        assert fails.status.pod_uid == warm.uid
        agent.answer = 200
        again = await basin.until(Reason.READY)
    assert (again.status.pod_uid, again.status.key_id) == (warm.uid, warm.key_id)


async def test_a_difference_that_comes_too_late(
    basin: Basin, node: Node, client: KubeClient, master_keys: MasterKeys, agent: Dormant, warm: Pod
) -> None:
    async with operator(client, basin.namespace, master_keys), node.running_all():
        await start(basin, master_keys, agent, {**POOLED, "OH_VSCODE_PORT": "8123"})
        sandbox = await basin.until(Reason.READY)
    assert sandbox.status.pool_miss == f"EnvironmentDiffers: Pool {POOL}: too late to change OH_VSCODE_PORT."
    assert sandbox.status.launch == "Cold"
    assert agent.told == []
    [free] = await basin.free(POOL)
    assert free["metadata"]["uid"] == warm.uid


async def test_an_environment_that_does_not_come_holds_nobody_up_for_long(
    basin: Basin, node: Node, client: KubeClient, master_keys: MasterKeys, agent: Dormant, warm: Pod
) -> None:
    """The gateway has died between the Sandbox and its Secret; the pool's pod is kept for another."""
    async with operator(client, basin.namespace, master_keys), node.running_all():
        await add(basin, master_keys, agent, CLIENT)

        async def has_cold_pod() -> bool:
            pods = [decode(pod) for pod in await node.pods()]
            return any(pod.sandbox == "one" and not pod.pool for pod in pods)

        await eventually(has_cold_pod)
    [free] = await basin.free(POOL)
    assert free["metadata"]["uid"] == warm.uid
    assert agent.told == []

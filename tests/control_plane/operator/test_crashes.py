"""The operator may be killed between any two writes; the next one goes on from the objects."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import aiohttp
import pytest

from control_plane.audit import Audit
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.world import World
from local_cluster.control_plane import ControlPlane
from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import ApiError, Informer, KubeClient, KubeObject, Resource
from sandbox_crds.kube.resources import SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_crds.reasons import Reason
from sandbox_operator.agent_server import AgentServers
from sandbox_operator.app import USER_AGENT, Operator
from sandbox_operator.builders.secret import KEY_ID_ANNOTATION
from sandbox_operator.store import Store

WRITES_OF_A_LIFE = 12
"""Secret, claim, Service, pod, status; pod, status; Secret, claim, Service, pod, status."""


class DyingClient(KubeClient):
    """Sends so many writes; the next one is never sent, or its answer never comes. Afterwards nothing is sent."""

    left: int
    last_is_sent: bool
    dead: asyncio.Event

    @classmethod
    @asynccontextmanager
    async def dying(cls, control_plane: ControlPlane, left: int, last_is_sent: bool) -> AsyncGenerator[Self]:
        """The operator's client, which dies at the write after `left` others."""
        client = await cls.connect(str(control_plane.kubeconfig), USER_AGENT)
        client.left, client.last_is_sent, client.dead = left, last_is_sent, asyncio.Event()
        try:
            yield client
        finally:
            await client.close()

    async def create(self, resource: Resource, namespace: str, body: KubeObject) -> KubeObject:
        return await self._write(lambda: super(DyingClient, self).create(resource, namespace, body))

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        send = super().patch
        return await self._write(lambda: send(resource, namespace, name, body, subresource=subresource))

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
    ) -> None:
        send, preconditions = super().delete, {"uid": uid, "resource_version": resource_version}
        await self._write(lambda: send(resource, namespace, name, **preconditions, grace_seconds=grace_seconds))

    async def _write[T](self, send: Callable[[], Awaitable[T]]) -> T:
        number, self.left = self.left, self.left - 1
        if number > 0:
            return await send()
        if number == 0:
            if self.last_is_sent:
                # What was kept over a suspension answers 409.
                with suppress(ApiError):
                    await send()
            self.dead.set()
        return await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def operator(client: KubeClient, namespace: str, keys: MasterKeys) -> AsyncGenerator[Operator]:
    """All of the operator but kopf, whose place an informer takes: kopf cannot be killed without its process."""
    async with aiohttp.ClientSession(trust_env=False) as session:
        running = Operator(client, namespace, keys, AgentServers(session, keys))
        parts = [
            running.pods.run(),
            running.sweeper.run(),
            _follow(client, namespace, running.sandboxes),
            _follow(client, namespace, running.classes),
            *(running.work() for _ in range(4)),
        ]
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(client: KubeClient, namespace: str, store: Store[Sandbox] | Store[SandboxClass]) -> None:
    def changed(name: str, item: KubeObject | None) -> None:
        known = store.get(name)
        if item:
            store.put(item)
        elif known:
            store.drop(name, known.metadata.uid)

    await Informer(client, store.resource, namespace, lambda item: item, on_change=changed).run()


@pytest.fixture
async def second(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The client of the next operator."""
    client = await KubeClient.connect(str(control_plane.kubeconfig), USER_AGENT)
    yield client
    await client.close()


async def live(world: World) -> Sandbox:
    """Start, suspend and resume the test's Sandbox."""
    await world.add(service="Headless", className="kept")
    await world.until(Reason.READY)
    await world.suspend(True)
    await world.until(Reason.SUSPENDED)
    await world.suspend(False)
    return await world.until(Reason.READY)


@pytest.mark.parametrize("left", range(WRITES_OF_A_LIFE))
@pytest.mark.parametrize("last_is_sent", [False, True])
async def test_the_next_operator_goes_on(
    left: int,
    last_is_sent: bool,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    second: KubeClient,
    master_keys: MasterKeys,
    audit: Audit,
) -> None:
    world, kubelet = World(client, namespace, "one"), Kubelet(client, namespace)
    await world.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
    async with DyingClient.dying(control_plane, left, last_is_sent) as dying, kubelet.running_all():
        life = asyncio.create_task(live(world))
        async with operator(dying, namespace, master_keys), asyncio.timeout(30):
            await dying.dead.wait()
        async with operator(second, namespace, master_keys):
            sandbox = await life
    await _is_whole(world, kubelet, sandbox)
    before = len(await audit.writes(client, namespace, USER_AGENT))
    async with operator(second, namespace, master_keys) as third:
        await third.sweeper.wait_synced()
        await third.pods.wait_synced()
        await world.add("other", className="kept")
        async with kubelet.running_all():
            await world.until(Reason.READY, "other")
    after = await audit.writes(client, namespace, USER_AGENT)
    assert all(write.name.startswith("other") for write in after[before:])


async def _is_whole(world: World, kubelet: Kubelet, sandbox: Sandbox) -> None:
    [pod] = await kubelet.pods()
    status = sandbox.status
    assert (status.pod_name, status.pod_uid) == (pod["metadata"]["name"], pod["metadata"]["uid"])
    assert status.launch == "Resume"
    secret = await world.client.get(SECRETS, world.namespace, status.pod_name)
    assert secret["metadata"]["annotations"][KEY_ID_ANNOTATION] == status.key_id
    await world.client.get(VOLUME_CLAIMS, world.namespace, status.pod_name)
    await world.client.get(SERVICES, world.namespace, sandbox.metadata.name)


async def test_a_new_master_key_does_not_change_the_key_of_a_sandbox_that_starts(
    client: KubeClient, namespace: str, control_plane: ControlPlane, master_keys: MasterKeys
) -> None:
    """The first operator has made the Secret, and dies before anything else tells which key it holds."""
    world, kubelet = World(client, namespace, "one"), Kubelet(client, namespace)
    await world.add_class()
    sandbox = await world.add()
    async with DyingClient.dying(control_plane, 0, True) as dying, operator(dying, namespace, master_keys):
        await dying.dead.wait()
    rotated = MasterKeys.of({**master_keys.versions, 2: b"n" * 32})
    async with operator(client, namespace, rotated), kubelet.running_all():
        ready = await world.until(Reason.READY)
    assert ready.status.key_id == master_keys.key_id(sandbox.metadata.uid)

"""An operator inside of the test's process, and a client with which it dies between any two writes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import product
from typing import Any, Self

from local_cluster.control_plane import ControlPlane
from sampling import drawn
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, Informer, KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOX_USAGES, VOLUME_CLAIMS
from sandbox_common.pod_identity import PodIdentities
from sandbox_operator.agents.agent_server import AgentServers
from sandbox_operator.app import USER_AGENT, Operator
from sandbox_operator.watching.store import AnyStore


def deaths(writes: int, part: int) -> list[tuple[int, bool]]:
    """After how many writes to die, and whether the last one is carried out: at both ends, and a part of the others."""
    cases = list(product(range(writes), (False, True)))
    return drawn(cases, part, lambda case: case[0] in (0, writes - 1))


MANY = 1000
"""More writes than any life has: with so many left, nobody dies."""


class DyingClient(KubeClient):
    """Sends so many writes; the next one is never sent, or its answer never comes. Afterwards nothing is sent.

    Of writes to other objects than `only`, and of other kinds than `at`, as far as these are not empty, any number is
    sent before. Those of usage come by the clock, and count only if `at` names them.
    """

    left: int
    only: str
    at: str
    last_is_sent: bool
    dead: asyncio.Event

    @classmethod
    @asynccontextmanager
    async def dying(
        cls,
        control_plane: ControlPlane,
        left: int,
        last_is_sent: bool,
        only: str = "",
        user_agent: str = USER_AGENT,
        at: str = "",
    ) -> AsyncGenerator[Self]:
        """A client, the operator's by default, which dies at the write after `left` others. Claims always count.

        `at` is a kind of writes, such as `patch sandboxes/status`.
        """
        client = await cls.connect(str(control_plane.kubeconfig), user_agent)
        client.left, client.last_is_sent, client.dead = left, last_is_sent, asyncio.Event()
        client.only, client.at = only, at
        try:
            yield client
        finally:
            await client.close()

    async def create(self, resource: Resource, namespace: str, body: KubeObject) -> KubeObject:
        send = super().create
        return await self._write(
            "create", resource, body.get("metadata", {}).get("name", ""), lambda: send(resource, namespace, body)
        )

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> KubeObject:
        send = super().patch
        return await self._write(
            "patch", resource, name, lambda: send(resource, namespace, name, body, subresource=subresource), subresource
        )

    async def json_patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> KubeObject:
        assert resource in {PODS, VOLUME_CLAIMS}
        send = super().json_patch
        return await self._write("patch", resource, self.only, lambda: send(resource, namespace, name, operations))

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
        await self._write(
            "delete",
            resource,
            name,
            lambda: send(resource, namespace, name, **preconditions, grace_seconds=grace_seconds),
        )

    async def _write[T](
        self, verb: str, resource: Resource, name: str, send: Callable[[], Awaitable[T]], subresource: str = ""
    ) -> T:
        kind = f"{verb} {'/'.join(filter(None, (resource.plural, subresource)))}"
        is_counted = kind == self.at if self.at else name.startswith(self.only) and resource is not SANDBOX_USAGES
        if not is_counted and not self.dead.is_set():
            return await send()
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
async def operator(client: KubeClient, namespace: str, keys: MasterKeys, **options: Any) -> AsyncGenerator[Operator]:
    """All of the operator but kopf, whose place an informer takes: kopf cannot be killed without its process.

    `options` are further ones of Operator.
    """
    async with AgentServers(keys, PodIdentities(client, namespace).denial) as agents:
        running = Operator(client, namespace, keys, agents, workers=4, **options)
        tasks = [asyncio.create_task(part) for part in parts_of(running, client, namespace)]
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def parts_of(running: Operator, client: KubeClient, namespace: str) -> list[Coroutine[Any, Any, None]]:
    """What such an operator does side by side."""
    following = (_follow(client, namespace, store) for store in running.caches.stores)
    return [running.caches.run(), *following, running.lead(client)]


async def _follow(client: KubeClient, namespace: str, store: AnyStore) -> None:
    uids: dict[str, str] = {}

    def changed(name: str, item: KubeObject | None) -> None:
        if item:
            uids[name] = item["metadata"]["uid"]
            store.put(item)
        else:
            # The store may know a later object of this name already.
            store.drop(name, uids.pop(name))

    await Informer(client, store.resource, namespace, lambda item: item, on_change=changed).run()

"""Sandboxes, classes and pools of a namespace, as the API server has them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from kubectl_ohsb import texts
from kubectl_ohsb.connection import Target, connect
from kubectl_ohsb.errors import Refusal
from sandbox_common import times
from sandbox_common.kube import ApiError, KubeClient, Resource, unreadable
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.queue import places, with_place
from sandbox_common.sandboxes.view import View, is_restarted, is_seen, view
from sandbox_crds.models import Sandbox, SandboxClass, SandboxClassSpec
from sandbox_crds.models.base import Model
from sandbox_crds.names import is_sandbox_name

type Classes = Mapping[str, SandboxClassSpec]
type Change = Mapping[str, Any] | None
"""Fields to merge into a Sandbox's spec; None if there is nothing to change."""

_TRIES = 5


class Store:
    """Reads and writes the Sandboxes of one namespace. All methods may raise ApiError besides what they name."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def get(self, name: str) -> Sandbox:
        """One sandbox. Raises Refusal if there is none."""
        sandbox = await self.find(name)
        if sandbox is None:
            raise Refusal(
                f"there is no sandbox {name} in namespace {self.namespace}; list them: kubectl ohsb list --namespace "
                f"{self.namespace}"
            )
        return sandbox

    async def find(self, name: str) -> Sandbox | None:
        """One sandbox; None if there is none."""
        found = await self.client.find(SANDBOXES, self.namespace, name) if is_sandbox_name(name) else None
        if found is None:
            return None
        try:
            return Sandbox.model_validate(found)
        except ValidationError as error:
            raise _unreadable(name, texts.message(error)) from None

    async def all(self) -> list[Sandbox]:
        """All sandboxes that can be read."""
        return [sandbox async for sandbox in self.each(SANDBOXES, Sandbox)]

    async def each[M: Model](self, resource: Resource, model: type[M]) -> AsyncGenerator[M]:
        """The objects that can be read, from pages, so that no more than a page is in memory."""
        async for page in self.client.pages(resource, self.namespace):
            for found in unreadable.decoded(resource, page["items"], model.model_validate):
                yield found

    async def classes(self) -> Classes:
        """The classes by name."""
        return {class_.metadata.name: class_.spec async for class_ in self.each(SANDBOX_CLASSES, SandboxClass)}

    async def view(self, sandbox: Sandbox) -> View:
        """The sandbox's state, with its place in the queue if it waits there."""
        class_ = await self.class_of(sandbox)
        seen = state(sandbox, class_, times.utc_now())
        if seen.reason != Reason.QUEUED:
            return seen
        owner = sandbox.spec.owner
        return with_place(sandbox, seen, places(known for known in await self.all() if known.spec.owner == owner))

    async def class_of(self, sandbox: Sandbox) -> SandboxClassSpec | None:
        """The sandbox's class; None if there is none."""
        # Anybody who writes Sandboxes chooses this name, so it must not become a part of a path.
        return (await self.classes()).get(sandbox.spec.class_name)

    async def change(self, name: str, decide: Callable[[Sandbox], Change]) -> tuple[str, bool]:
        """Merge what `decide` returns into the spec of the sandbox; again if somebody else was faster.

        Returns its UID, and whether it was changed. Raises Refusal, and the errors of `decide`.
        """
        for _ in range(_TRIES):
            sandbox = await self.get(name)
            spec = decide(sandbox)
            if spec is None:
                return sandbox.metadata.uid, False
            body = {"metadata": {"resourceVersion": sandbox.metadata.resource_version}, "spec": dict(spec)}
            try:
                await self.client.patch(SANDBOXES, self.namespace, name, body)
            except ApiError as error:
                if error.code != 409:
                    raise
            else:
                return sandbox.metadata.uid, True
        raise Refusal(f"somebody else changes {name} at the same time: see what it is now, and try again")

    async def delete(self, name: str) -> str:
        """Delete the sandbox that has this name now. Returns its UID. Raises Refusal."""
        for _ in range(_TRIES):
            uid = (await self.get(name)).metadata.uid
            try:
                await self.client.delete(SANDBOXES, self.namespace, name, uid=uid)
            except ApiError as error:
                if error.code != 409:
                    raise
            else:
                return uid
        raise Refusal(f"somebody else replaces {name} at the same time: see what it is now, and try again")


def state(sandbox: Sandbox, class_: SandboxClassSpec | None, now: datetime) -> View:
    """The sandbox's state as the API server has it: unlike a gateway, the plugin does not ask the agent server.

    Raises Refusal if the sandbox has absurd times.
    """
    left = bool(sandbox.status.pod_uid) and not is_seen(sandbox) and is_restarted(sandbox)
    try:
        return view(sandbox, now, reached=True, class_=class_ or SandboxClassSpec(), left=left)
    except (ValueError, OverflowError) as error:
        raise _unreadable(sandbox.metadata.name, str(error)) from None


def _unreadable(name: str, problem: str) -> Refusal:
    return Refusal(f"the sandbox {name} cannot be read ({problem}): correct it, see kubectl get ohsb {name} -o yaml")


@asynccontextmanager
async def opened(target: Target, resource: Resource = SANDBOXES) -> AsyncGenerator[Store]:
    """The store of this target. Errors of the API server become a Refusal that speaks of `resource`."""
    async with connect(target, resource.plural) as (client, namespace):
        yield Store(client, namespace)


def run[T](target: Target, do: Callable[[Store], Awaitable[T]], resource: Resource = SANDBOXES) -> T:
    """Connect, do this, and disconnect."""

    async def connected() -> T:
        async with opened(target, resource) as store:
            return await do(store)

    return asyncio.run(connected())

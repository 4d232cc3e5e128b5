"""Sandbox objects in the API server: reads past the cache and all writes, which the cache learns of at once."""

import secrets
from collections.abc import Mapping
from typing import Any

import structlog

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES
from sandbox_crds import names
from sandbox_crds.api import GROUP
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import NoSandboxError
from sandbox_gateway.sandboxes.builders import PINNED
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.reads import SharedReads

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


_CALL_ANNOTATION = f"{GROUP}/call"
"""Which call has made a Sandbox: a random number."""


class Sandboxes:
    """The Sandboxes of one namespace. All methods raise ApiError, and what KubeClient raises when it is not reached."""

    def __init__(self, client: KubeClient, namespace: str, cache: SandboxCache) -> None:
        self._client = client
        self._namespace = namespace
        self.cache = cache
        self._reads = SharedReads(self._read)

    async def read(self, name: str) -> Sandbox | None:
        """A fresh read; also one that is just being deleted. None when there is none, or the name is no name."""
        return await self._reads.get(name) if names.is_sandbox_name(name) else None

    async def owned(self, owner: str, name: str) -> Sandbox:
        """From the cache, or else from the API server: another replica may just have made it. Raises NoSandboxError.

        Another owner's is read, too, so that the time of the answer does not tell whether there is one.
        """
        sandbox = self.cache.get(name)
        if sandbox is None or sandbox.spec.owner != owner:
            return await self.read_owned(owner, name)
        return sandbox

    async def read_owned(self, owner: str, name: str) -> Sandbox:
        """A fresh read. Raises NoSandboxError."""
        sandbox = await self.read(name)
        if sandbox is None or sandbox.metadata.deletion_timestamp:
            raise NoSandboxError
        return check_owner(sandbox, owner)

    async def create(self, body: KubeObject) -> Sandbox | None:
        """The new Sandbox as it is then, or None when its name is taken.

        It has a mark of this call: an attempt whose answer was lost may have made it, and others have changed it since.
        """
        metadata, mark = body["metadata"], secrets.token_hex(8)
        marked = {**metadata, "annotations": {**metadata.get("annotations", {}), _CALL_ANNOTATION: mark}}
        try:
            return self.cache.remember(
                await self._client.create(SANDBOXES, self._namespace, {**body, "metadata": marked})
            )
        except ApiError as error:
            if error.code != 409:
                raise
            found = await self.read(metadata["name"]) if error.uncertain else None
            if found is None or found.metadata.deletion_timestamp:
                return None
            return found if found.metadata.annotations.get(_CALL_ANNOTATION) == mark else None

    async def set_spec(self, sandbox: Sandbox, spec: Mapping[str, Any]) -> Sandbox | None:
        """Merge these fields into the spec of a Sandbox in just this state; gives it as it is then.

        None when it has changed, and was read anew: the caller decides again. Without the state, an order whose answer
        was lost would be repeated over those of others that came in between. Raises NoSandboxError when it is gone.
        """
        name = sandbox.metadata.name
        body = {"metadata": {"resourceVersion": sandbox.metadata.resource_version}, "spec": dict(spec)}
        known = self.cache.get(name)
        try:
            return self.cache.remember(await self._client.patch(SANDBOXES, self._namespace, name, body))
        except ApiError as error:
            if error.code == 404:
                self._forget(known)
                raise NoSandboxError from None
            if error.code != 409:
                raise
            found = await self.read(name)
            return found if found and error.uncertain and _was_written(sandbox, spec, found) else None

    async def pin(self, sandbox: Sandbox) -> Sandbox | None:
        """Settle its session key as that of its own UID; None when it has changed meanwhile, and was read anew.

        The operator writes the key of a claimed pod into the status in the same way, only over the version that it has
        seen: of the two, one comes first, and the other has to look again. Raises NoSandboxError when it is gone.
        """
        pinned = await self.set_spec(sandbox, PINNED)
        if pinned:
            _log.info("session key pinned", sandbox=sandbox.metadata.name)
        return pinned

    async def delete(self, sandbox: Sandbox) -> bool:
        """Delete this very Sandbox, by UID. False when another one has taken its name."""
        if await self._delete(sandbox):
            return True
        self.cache.forget(sandbox)
        return False

    async def delete_unchanged(self, sandbox: Sandbox) -> bool:
        """Delete it in just this state. False when it has changed, and was read anew."""
        if await self._delete(sandbox, sandbox.metadata.resource_version):
            return True
        await self.read(sandbox.metadata.name)
        return False

    async def _delete(self, sandbox: Sandbox, version: str = "") -> bool:
        """False when it is not what it was: another one by UID or, if given, of another resource version."""
        metadata = sandbox.metadata
        try:
            await self._client.delete(
                SANDBOXES, self._namespace, metadata.name, uid=metadata.uid, resource_version=version
            )
        except ApiError as error:
            if error.code != 409:
                raise
            return False
        self.cache.forget(sandbox)
        _log.info("sandbox deleted", sandbox=metadata.name, owner=sandbox.spec.owner)
        return True

    async def _read(self, name: str) -> Sandbox | None:
        known = self.cache.get(name)
        found = await self._client.find(SANDBOXES, self._namespace, name)
        if found is None:
            self._forget(known)
            return None
        return self.cache.remember(found)

    def _forget(self, known: Sandbox | None) -> None:
        """What was known before a request that has found nothing is gone. What has been heard of since may be new."""
        if known:
            self.cache.forget(known)


def _was_written(before: Sandbox, spec: Mapping[str, Any], found: Sandbox) -> bool:
    """Whether an order that may have been carried out over `before` has been, going by what is there now.

    Each change of a spec counts its generation up. One change that is not this one was somebody else's. After more of
    them, this one has most likely been the first: what it said and others have taken back since.
    """
    if found.metadata.uid != before.metadata.uid or found.metadata.deletion_timestamp:
        return False
    stored = found.spec.model_dump(by_alias=True, mode="json")
    says_so = all(stored.get(field) == value for field, value in spec.items() if not isinstance(value, dict))
    return found.metadata.generation - before.metadata.generation >= (1 if says_so else 2)


def is_settled(sandbox: Sandbox) -> bool:
    """Whether its session key stays what it is: the operator has reported it, or no warm pod can bring another."""
    return bool(sandbox.status.key_id) or sandbox.spec.warm_start == "Never"


def check_owner(sandbox: Sandbox, owner: str) -> Sandbox:
    """The same Sandbox. Raises NoSandboxError when it is another owner's: to others it does not exist."""
    if sandbox.spec.owner != owner:
        raise NoSandboxError
    return sandbox

"""Sandbox objects in the API server: reads past the cache, and all writes. The cache learns of both at once."""

import secrets
from collections.abc import Mapping
from typing import Any

import structlog

from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.sandboxes.specs import PINNED
from sandbox_common.spans import OpenSpan
from sandbox_crds import names
from sandbox_crds.api import GROUP, TRACE_PARENT_ANNOTATION, TRACED_GENERATION_ANNOTATION
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import NoSandboxError
from sandbox_gateway.sandboxes.cache import SandboxCache
from sandbox_gateway.sandboxes.reads import SharedReads

type Reach = str | None
"""Whose sandboxes a call reaches: an owner's, or those of all owners if it is None (permission `admin`)."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


_CALL_ANNOTATION = f"{GROUP}/call"
"""Which call made a Sandbox: a random number."""


class Sandboxes:
    """The Sandboxes of one namespace. All methods raise ApiError, and KubeClient's errors if there is no connection."""

    def __init__(self, client: KubeClient, namespace: str, cache: SandboxCache) -> None:
        self._client = client
        self._namespace = namespace
        self.cache = cache
        self._reads = SharedReads(self._read)

    async def read(self, name: str) -> Sandbox | None:
        """A fresh read, also of a Sandbox that is being deleted. None when there is none, or the name is not valid."""
        return await self._reads.get(name) if names.is_sandbox_name(name) else None

    async def owned(self, owner: Reach, name: str) -> Sandbox:
        """From the cache, or else from the API server: another replica may have just made it. Raises NoSandboxError.

        Another owner's Sandbox is read too, so the time of the answer does not reveal whether it exists.
        """
        sandbox = self.cache.get(name)
        if sandbox is None or (owner is not None and sandbox.spec.owner != owner):
            return await self.read_owned(owner, name)
        return sandbox

    async def read_owned(self, owner: Reach, name: str) -> Sandbox:
        """A fresh read. Raises NoSandboxError."""
        sandbox = await self.read(name)
        if sandbox is None or sandbox.metadata.deletion_timestamp:
            raise NoSandboxError
        return check_owner(sandbox, owner)

    async def of_session(self, owner: str, session_id: str) -> Sandbox:
        """As `owned`, by the client's session id."""
        if known := self.cache.find_session(owner, session_id):
            return known
        for name in self.cache.runtime_ids(owner, session_id):
            found = await self.read(name)
            if found and not found.metadata.deletion_timestamp and is_of_session(found, owner, session_id):
                return found
        raise NoSandboxError

    async def read_session(self, owner: str, session_id: str) -> Sandbox | None:
        """A fresh read of the session's Sandbox if it is known here or has a former name, also if it is being deleted.

        The creation finds one that has the name of a new one.
        """
        if known := self.cache.find_session(owner, session_id):
            return await self.read(known.metadata.name)
        for name in self.cache.runtime_ids(owner, session_id)[1:]:
            found = await self.read(name)
            if found and is_of_session(found, owner, session_id):
                return found
        return None

    async def create(self, body: KubeObject) -> Sandbox | None:
        """The new Sandbox as it is now, or None when its name is taken.

        It gets a mark of this call. So an attempt whose answer was lost finds it, even if others changed it since.
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

    async def set_spec(self, sandbox: Sandbox, spec: Mapping[str, Any], span: OpenSpan | None = None) -> Sandbox | None:
        """Merge these fields into the spec of a Sandbox in exactly this state. Returns the changed Sandbox.

        `span` is that of a resume, which the operator continues.

        Returns None when it has changed, after a fresh read: the caller decides again. Otherwise the repetition of a
        patch whose answer was lost would undo later patches of others. Raises NoSandboxError when it is gone.
        """
        name = sandbox.metadata.name
        body: KubeObject = {"metadata": {"resourceVersion": sandbox.metadata.resource_version}, "spec": dict(spec)}
        if span:
            body["metadata"]["annotations"] = {
                TRACE_PARENT_ANNOTATION: span.trace_parent,
                TRACED_GENERATION_ANNOTATION: str(sandbox.metadata.generation + 1),
            }
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
        """Settle its session key as that of its own UID; None when it has changed meanwhile, after a fresh read.

        The operator writes the key of a claimed pod into the status in the same way: only over the version that it saw.
        So one of the two is first, and the other looks again. Raises NoSandboxError when it is gone.
        """
        pinned = await self.set_spec(sandbox, PINNED)
        if pinned:
            _log.info("session key pinned", sandbox=sandbox.metadata.name)
        return pinned

    async def delete(self, sandbox: Sandbox) -> bool:
        """Delete this Sandbox, by UID. False when another one has taken its name."""
        if await self._delete(sandbox):
            return True
        self.cache.forget(sandbox)
        return False

    async def delete_unchanged(self, sandbox: Sandbox) -> bool:
        """Delete it in exactly this state. False when it has changed, after a fresh read."""
        if await self._delete(sandbox, sandbox.metadata.resource_version):
            return True
        await self.read(sandbox.metadata.name)
        return False

    async def _delete(self, sandbox: Sandbox, version: str = "") -> bool:
        """False when it has another UID or, if a version is given, another resource version."""
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
        """The request found nothing, so the Sandbox known before it is gone. One that came meanwhile may be new."""
        if known:
            self.cache.forget(known)


def _was_written(before: Sandbox, spec: Mapping[str, Any], found: Sandbox) -> bool:
    """Whether a patch of `before` whose answer was lost was carried out, according to the present Sandbox.

    Each change of a spec increments its generation. If the only change is another one, it was somebody else's. After
    several changes, this one was most likely the first, and others have overwritten it since.
    """
    if found.metadata.uid != before.metadata.uid or found.metadata.deletion_timestamp:
        return False
    stored = found.spec.model_dump(by_alias=True, mode="json")
    says_so = all(stored.get(field) == value for field, value in spec.items() if not isinstance(value, dict))
    return found.metadata.generation - before.metadata.generation >= (1 if says_so else 2)


def is_of_session(sandbox: Sandbox, owner: str, session_id: str) -> bool:
    """Whether it belongs to this session: somebody may have given its name to another one by hand."""
    return (sandbox.spec.owner, sandbox.spec.session_id) == (owner, session_id)


def is_settled(sandbox: Sandbox) -> bool:
    """Whether its session key stays what it is: the operator has reported it, or no warm pod can bring another."""
    return bool(sandbox.status.key_id) or sandbox.spec.warm_start == "Never"


def check_owner(sandbox: Sandbox, owner: Reach) -> Sandbox:
    """The same Sandbox. Raises NoSandboxError when it is another owner's: to others it does not exist."""
    if owner is not None and sandbox.spec.owner != owner:
        raise NoSandboxError
    return sandbox

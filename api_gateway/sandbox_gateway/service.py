"""What the Runtime API does: start, get, pause, resume and stop, on Sandbox resources alone.

Any replica may serve any request. A decision to write nothing is made on a fresh read, since this replica's cache
may lag behind what another one has just done.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from sandbox_crds import names
from sandbox_crds.environment import is_reserved
from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import ApiError, KubeClient
from sandbox_crds.kube.resources import SANDBOXES, SECRETS
from sandbox_crds.models import Sandbox
from sandbox_gateway.builders import environment_secret, sandbox_body
from sandbox_gateway.cache import SandboxCache
from sandbox_gateway.errors import NoSandboxError, UnavailableError
from sandbox_gateway.holding import Holding
from sandbox_gateway.models import StartRequest
from sandbox_gateway.view import View, view

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_API_SECONDS = 3.0
"""What the API server may take beyond the hold: clients give up after 15 s (openhands_ai 1.11.0)."""
_GONE_POLL_SECONDS = 0.2
_REMEMBERED_SECRETS = 10_000


class SandboxService:
    """One replica's view of the Sandboxes of one namespace. Raises GatewayError, ApiError, and what KubeClient does."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        keys: MasterKeys,
        cache: SandboxCache,
        holding: Holding,
        *,
        sandbox_class: str,
        start_hold_seconds: float,
        poll_hold_seconds: float,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._keys = keys
        self._cache = cache
        self._holding = holding
        self._class = sandbox_class
        self._start_hold = start_hold_seconds
        self._poll_hold = poll_hold_seconds
        self._with_environment: dict[str, None] = {}

    async def start(self, owner: str, request: StartRequest) -> tuple[Sandbox, View]:
        """The session's sandbox, made or resumed if need be, held until it is ready or has failed."""
        deadline = asyncio.get_running_loop().time() + self._start_hold
        async with asyncio.timeout_at(deadline + _API_SECONDS):
            sandbox = await self._live_or_new(owner, request, deadline)
            if sandbox.spec.suspend:
                sandbox = await self._set_suspend(sandbox.metadata.name, False)
        return await self._settled(sandbox.metadata.name, deadline)

    async def get(self, owner: str, session_id: str) -> tuple[Sandbox, View]:
        """The session's sandbox, held while it is starting. NoSandboxError comes at once."""
        async with asyncio.timeout(_API_SECONDS):
            sandbox = await self._owned(owner, names.runtime_id(owner, session_id))
        deadline = asyncio.get_running_loop().time() + self._poll_hold
        return await self._settled(sandbox.metadata.name, deadline)

    async def pause(self, owner: str, runtime_id: str) -> tuple[Sandbox, View]:
        """Suspend it, held until its pod is gone."""
        deadline = asyncio.get_running_loop().time() + self._start_hold
        async with asyncio.timeout_at(deadline + _API_SECONDS):
            await self._suspend_if_needed(owner, runtime_id, True)
        left = deadline - asyncio.get_running_loop().time()
        return await self._holding.until(runtime_id, lambda seen: seen.suspended or seen.status != "paused", left)

    async def resume(self, owner: str, runtime_id: str) -> tuple[Sandbox, View]:
        """Run it again, held until it is ready or has failed. A running one is left alone."""
        deadline = asyncio.get_running_loop().time() + self._start_hold
        async with asyncio.timeout_at(deadline + _API_SECONDS):
            await self._suspend_if_needed(owner, runtime_id, False)
        return await self._settled(runtime_id, deadline)

    async def stop(self, owner: str, runtime_id: str) -> Sandbox:
        """Delete it; what it owns follows in the background."""
        async with asyncio.timeout(self._start_hold + _API_SECONDS):
            sandbox = await self._owned(owner, runtime_id)
            while not await self._delete(sandbox):
                # Another replica has replaced it in the meantime; the client means the present one.
                sandbox = await self._read_owned(owner, runtime_id)
        return sandbox

    async def _settled(self, name: str, deadline: float) -> tuple[Sandbox, View]:
        left = deadline - asyncio.get_running_loop().time()
        return await self._holding.until(name, lambda seen: seen.status != "starting", left)

    async def _live_or_new(self, owner: str, request: StartRequest, deadline: float) -> Sandbox:
        """The session's Sandbox; one that is dead or just going is replaced."""
        name = names.runtime_id(owner, request.session_id)
        environment = _usable(request.environment, name)
        environment_hash = self._keys.environment_hash(environment)
        body = sandbox_body(name, owner, request, environment_hash=environment_hash, class_name=self._class)
        known = await self._read(name) if self._cache.get(name) else None
        while True:
            if known is None:
                try:
                    created = self._cache.remember(await self._client.create(SANDBOXES, self._namespace, body))
                except ApiError as error:
                    if error.code != 409:
                        raise
                    known = await self._read(name)
                    continue
                _log.info("sandbox created", sandbox=name, owner=owner)
                await self._ensure_environment_or_undo(created, environment)
                return created
            _check_owner(known, owner)
            if known.metadata.deletion_timestamp:
                if asyncio.get_running_loop().time() >= deadline:
                    raise UnavailableError("The session's old sandbox is still being deleted. Try again in a moment.")
                await asyncio.sleep(_GONE_POLL_SECONDS)
                known = await self._read(name)
                continue
            seen = view(known, datetime.now(UTC), reached=True)
            if seen.status != "error":
                if known.spec.environment_hash == environment_hash and not seen.ready:
                    await self._ensure_environment(known, environment)
                return known
            _log.warning("failed sandbox is replaced", sandbox=name, owner=owner, reason=seen.explanation)
            await self._delete(known)
            known = None

    async def _ensure_environment(self, sandbox: Sandbox, environment: Mapping[str, str]) -> None:
        """Make the environment's Secret, unless this replica has done so.

        Also for a Sandbox that is there already: who made it may have ended between the two writes.
        """
        uid = sandbox.metadata.uid
        if not environment or uid in self._with_environment:
            return
        try:
            await self._client.create(SECRETS, self._namespace, environment_secret(sandbox, environment))
        except ApiError as error:
            if error.code != 409:
                raise
        self._with_environment[uid] = None
        if len(self._with_environment) > _REMEMBERED_SECRETS:
            del self._with_environment[next(iter(self._with_environment))]

    async def _ensure_environment_or_undo(self, created: Sandbox, environment: Mapping[str, str]) -> None:
        """A client whose /start is refused has no runtime id to stop, so nothing may be left behind."""
        try:
            await self._ensure_environment(created, environment)
        except ApiError as error:
            if 400 <= error.code < 500:
                await self._delete(created)
            raise

    async def _suspend_if_needed(self, owner: str, runtime_id: str, wanted: bool) -> None:
        sandbox = await self._owned(owner, runtime_id)
        if sandbox.spec.suspend == wanted:
            sandbox = await self._read_owned(owner, runtime_id)
        if sandbox.spec.suspend != wanted:
            await self._set_suspend(runtime_id, wanted)

    async def _set_suspend(self, name: str, wanted: bool) -> Sandbox:
        try:
            item = await self._client.patch(SANDBOXES, self._namespace, name, {"spec": {"suspend": wanted}})
        except ApiError as error:
            if error.code == 404:
                raise NoSandboxError from None
            raise
        _log.info("sandbox suspended" if wanted else "sandbox resumed", sandbox=name)
        return self._cache.remember(item)

    async def _delete(self, sandbox: Sandbox) -> bool:
        """False when another Sandbox has taken its name."""
        metadata = sandbox.metadata
        try:
            await self._client.delete(SANDBOXES, self._namespace, metadata.name, uid=metadata.uid)
        except ApiError as error:
            if error.code != 409:
                raise
            self._cache.forget(sandbox)
            return False
        self._cache.forget(sandbox)
        _log.info("sandbox deleted", sandbox=metadata.name, owner=sandbox.spec.owner)
        return True

    async def _owned(self, owner: str, name: str) -> Sandbox:
        """From the cache, or else from the API server: another replica may just have made it."""
        sandbox = self._cache.get(name)
        if sandbox is None:
            return await self._read_owned(owner, name)
        return _check_owner(sandbox, owner)

    async def _read_owned(self, owner: str, name: str) -> Sandbox:
        sandbox = await self._read(name)
        if sandbox is None or sandbox.metadata.deletion_timestamp:
            raise NoSandboxError
        return _check_owner(sandbox, owner)

    async def _read(self, name: str) -> Sandbox | None:
        if not names.is_sandbox_name(name):
            return None
        try:
            return self._cache.remember(await self._client.get(SANDBOXES, self._namespace, name))
        except ApiError as error:
            if error.code != 404:
                raise
            return None


def _check_owner(sandbox: Sandbox, owner: str) -> Sandbox:
    if sandbox.spec.owner != owner:
        raise NoSandboxError
    return sandbox


def _usable(environment: Mapping[str, str], name: str) -> dict[str, str]:
    reserved = sorted(filter(is_reserved, environment))
    if reserved:
        _log.warning("reserved variables dropped", sandbox=name, variables=reserved)
    return {key: value for key, value in environment.items() if not is_reserved(key)}

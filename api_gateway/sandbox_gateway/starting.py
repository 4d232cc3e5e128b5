"""`/start`: the session's Sandbox made, found, restarted or replaced."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from sandbox_crds import names
from sandbox_crds.api_keys import ApiKey
from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import ApiError
from sandbox_crds.models import Sandbox
from sandbox_crds.reasons import Reason
from sandbox_gateway.allowances import Allowances
from sandbox_gateway.builders import RUNNING, requested_spec, restart_spec, sandbox_body
from sandbox_gateway.classes import SandboxClasses
from sandbox_gateway.environments import Environments, usable
from sandbox_gateway.errors import NoSandboxError, UnavailableError
from sandbox_gateway.permissions import Permissions, maximum_life
from sandbox_gateway.pools import Pools
from sandbox_gateway.requests import StartRequest
from sandbox_gateway.sandboxes import Sandboxes, check_owner
from sandbox_gateway.view import view

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_GONE_POLL_SECONDS = 0.2


class Starter:
    """Brings a session's Sandbox into a state in which it shall run.

    Raises GatewayError, ApiError, and what KubeClient raises when it is not reached.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        environments: Environments,
        keys: MasterKeys,
        classes: SandboxClasses,
        pools: Pools,
        permissions: Permissions,
        allowances: Allowances,
    ) -> None:
        self._sandboxes = sandboxes
        self._environments = environments
        self._keys = keys
        self._classes = classes
        self._pools = pools
        self._permissions = permissions
        self._allowances = allowances

    async def start(self, key: ApiKey, request: StartRequest, deadline: float) -> Sandbox:
        """The session's Sandbox. An old one that is still being deleted is awaited until `deadline` (loop time).

        What the gateway and the key's policy allow is asked of what is made or changed, not of what is there.
        """
        key = self._allowances.of_owner(key)
        name = names.runtime_id(key.owner, request.session_id)
        environment = usable(request.environment, name)
        known = await self._sandboxes.read(name) if self._sandboxes.cache.get(name) else None
        while True:
            if known is None:
                if created := await self._create(name, key, request, environment):
                    return created
                known = await self._sandboxes.read(name)
                continue
            check_owner(known, key.owner)
            try:
                if not known.metadata.deletion_timestamp:
                    if running := await self._revive(known, key, request, environment):
                        return running
                elif asyncio.get_running_loop().time() >= deadline:
                    raise UnavailableError("The session's old sandbox is still being deleted. Try again in a moment.")
                else:
                    await asyncio.sleep(_GONE_POLL_SECONDS)
            except NoSandboxError:
                pass  # deleted in between
            known = await self._sandboxes.read(name)

    async def _create(
        self, name: str, key: ApiKey, request: StartRequest, environment: Mapping[str, str]
    ) -> Sandbox | None:
        """The new Sandbox with its environment, or None when the name is taken."""
        self._permissions.check(request, key.policy)
        class_name = self._permissions.class_name(request, key.policy)
        environment_hash = self._keys.environment_hash(environment)
        body = sandbox_body(name, key.owner, request, environment_hash=environment_hash, class_name=class_name)
        body["spec"] |= await self._life(key, class_name)
        if not self._pools.may_fit(class_name):
            # Its key is settled from the beginning then, however late the operator looks at it.
            body["spec"]["warmStart"] = "Never"
        with self._allowances.starting(key.owner, name):
            created = await self._sandboxes.create(body)
        if created is None:
            return None
        _log.info("sandbox created", sandbox=name, owner=key.owner)
        try:
            await self._environments.ensure(created, environment)
        except ApiError as error:
            # A client whose /start is refused has no runtime id to stop, so nothing may be left behind.
            if 400 <= error.code < 500:
                await self._sandboxes.delete(created)
            raise
        return created

    async def _revive(
        self, known: Sandbox, key: ApiKey, request: StartRequest, environment: Mapping[str, str]
    ) -> Sandbox | None:
        """The Sandbox, running or about to; None when it has gone or changed, so that it must be looked at again."""
        metadata = known.metadata
        seen = view(known, datetime.now(UTC), reached=True)
        if seen.reason == Reason.QUEUED:
            # Also after it has been told as failed: it keeps its place, and starts in its turn.
            return known
        same_environment = self._keys.is_environment_hash(known.spec.environment_hash, environment)
        if seen.status == "error" and not (known.status.first_ready_time and same_environment):
            # Before it goes, so that a refusal changes nothing.
            self._permissions.check(request, key.policy)
            self._permissions.class_name(request, key.policy)
            self._allowances.check(key.owner, metadata.name, is_new=True)
            _log.warning("failed sandbox is replaced", sandbox=metadata.name, reason=seen.explanation)
            await self._sandboxes.delete(known)
            return None
        if same_environment and not seen.ready:
            await self._environments.ensure(known, environment)
        if seen.status == "error":
            self._permissions.check(request, key.policy, present_image=known.spec.image)
            # It may have work on its volume, which would go with it.
            _log.warning("failed sandbox is restarted", sandbox=metadata.name, reason=seen.explanation)
            life = await self._life(key, known.spec.class_name, known.spec.maximum_life_seconds)
            spec = {**requested_spec(request), **restart_spec(known, datetime.now(UTC)), **life}
            return await self._sandboxes.set_spec(metadata.name, spec, version=metadata.resource_version)
        if known.spec.suspend:
            life = await self._life(key, known.spec.class_name, known.spec.maximum_life_seconds)
            with self._allowances.starting(known.spec.owner, metadata.name):
                _log.info("sandbox resumed", sandbox=metadata.name)
                return await self._sandboxes.set_spec(metadata.name, {**RUNNING, **life})
        return known

    async def _life(self, key: ApiKey, class_name: str, own: int | None = None) -> dict[str, int]:
        """Spec fields that hold the key's limit of a sandbox's age; `own` is what its spec says already."""
        limit = key.policy.limits.life_seconds
        if limit is None:
            return {}
        # The field wins over the class's, which may be less.
        await self._classes.wait_synced()
        return {"maximumLifeSeconds": maximum_life(limit, own, self._classes.spec(class_name).maximum_life_seconds)}

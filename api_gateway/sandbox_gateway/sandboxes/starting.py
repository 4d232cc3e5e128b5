"""`/start`: the session's Sandbox made, found, resumed or restarted."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from sandbox_common import times
from sandbox_common.api_keys import ApiKey, Policy
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.specs import RUNNING, restart_spec
from sandbox_common.sandboxes.view import view
from sandbox_common.spans import OpenSpan, Span, attributes_of
from sandbox_crds.api import TRACE_PARENT_ANNOTATION
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import BeingDeletedError, NoSandboxError, TakenError
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.sandboxes.api import Sandboxes, is_of_session
from sandbox_gateway.sandboxes.builders import environment_spec, sandbox_body
from sandbox_gateway.sandboxes.changes import (
    CLASS,
    ENVIRONMENT,
    at_once,
    can_change_class,
    changes,
    names_environment,
)
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.environment_secrets import EnvironmentSecrets, usable
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from sandbox_gateway.sandboxes.permissions import Permissions, check_groups, maximum_life
from sandbox_gateway.sandboxes.pools import Pools
from sandbox_gateway.sandboxes.starts import Starts

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_GONE_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Started:
    """A session's Sandbox. `ignored` are fields of the request that have no effect on its pod."""

    sandbox: Sandbox
    ignored: tuple[str, ...] = ()


class Starter:
    """Makes or changes a session's Sandbox so that it runs.

    Raises GatewayError, ApiError, and KubeClient's errors if there is no connection.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        environment_secrets: EnvironmentSecrets,
        keys: MasterKeys,
        classes: SandboxClasses,
        pools: Pools,
        permissions: Permissions,
        limit_checks: LimitChecks,
        starts: Starts,
    ) -> None:
        self._sandboxes = sandboxes
        self._environment_secrets = environment_secrets
        self._keys = keys
        self._classes = classes
        self._pools = pools
        self._permissions = permissions
        self._limit_checks = limit_checks
        self._starts = starts

    async def start(self, key: ApiKey, request: StartRequest, deadline: float, span: OpenSpan | None = None) -> Started:
        """The session's Sandbox. Waits until `deadline` (loop time) for the end of an old one that is being deleted.

        The permissions of gateway and API key apply to what is made or changed, not to what exists. `span` is the
        call's; the operator continues its trace for a new or resumed Sandbox.
        """
        called_at = asyncio.get_running_loop().time()
        key = self._limit_checks.of_owner(key)
        name = self._keys.runtime_ids(key.owner, request.session_id)[0]
        environment = usable(request.environment, name)
        known = await self._sandboxes.read_session(key.owner, request.session_id)
        while True:
            if known is None:
                if created := await self._create(name, key, request, environment, called_at, span):
                    return Started(created)
                known = await self._sandboxes.read(name)
                continue
            if not is_of_session(known, key.owner, request.session_id):
                # The name is made from this owner, so it reveals nothing about other owners' sessions.
                raise TakenError(name)
            try:
                if not known.metadata.deletion_timestamp:
                    if running := await self._revive(known, key, request, environment, called_at, span):
                        return running
                elif asyncio.get_running_loop().time() >= deadline:
                    raise BeingDeletedError
                else:
                    await asyncio.sleep(_GONE_POLL_SECONDS)
            except NoSandboxError:
                pass  # deleted in between
            known = await self._sandboxes.read(known.metadata.name)

    async def _create(
        self,
        name: str,
        key: ApiKey,
        request: StartRequest,
        environment: Mapping[str, str],
        called_at: float,
        span: OpenSpan | None,
    ) -> Sandbox | None:
        """The new Sandbox with its environment, or None when the name is taken."""
        self._permissions.check(request, key.policy)
        class_name = self._permissions.class_name(request, key.policy)
        await self._check_class(request, class_name, key.policy)
        environment_hash = self._keys.environment_hash(environment)
        body = sandbox_body(name, key.owner, request, environment_hash=environment_hash, class_name=class_name)
        body["spec"] |= await self._life(key, class_name)
        if not self._pools.may_fit(class_name):
            # Then its key is settled from the beginning, however late the operator looks at it.
            body["spec"]["warmStart"] = "Never"
        if span:
            body["metadata"]["annotations"] = {TRACE_PARENT_ANNOTATION: span.trace_parent}
        began = times.utc_now()
        with self._limit_checks.starting(key.owner, name):
            created = await self._sandboxes.create(body)
        if created is None:
            return None
        if span:
            span.child(Span("create Sandbox", began, times.utc_now(), attributes_of(created)))
        self._starts.begin(created, called_at)
        _log.info("sandbox created", sandbox=name, owner=key.owner)
        try:
            await self._environment_secrets.make(created, environment, "")
        except ApiError as error:
            # A client whose /start is refused has no runtime id to stop, so no object may stay.
            if 400 <= error.code < 500:
                await self._sandboxes.delete(created)
            raise
        return created

    async def _revive(
        self,
        known: Sandbox,
        key: ApiKey,
        request: StartRequest,
        environment: Mapping[str, str],
        called_at: float,
        span: OpenSpan | None,
    ) -> Started | None:
        """The Sandbox, which runs or will; None when it is gone or has changed, and the caller must look again.

        It is never deleted, since its volume may have work. A failed one gets another pod, made as the request asks. A
        suspended or queued one gets a pod with the changes of the request. One that runs or starts stays as it is, and
        changes of the request are ignored.
        """
        now, class_ = datetime.now(UTC), self._classes.spec(known.spec.class_name)
        left = self._sandboxes.cache.suspensions.has_left(known)
        seen = view(known, now, reached=True, class_=class_, left=left)
        # In exactly the state that was seen: it may have recovered, or been resumed, in between.
        name = known.metadata.name
        waits = seen.reason == Reason.QUEUED
        failed = seen.status == "error" and not waits
        wanted = changes(request, known.spec, whole=failed)
        new_environment = self._is_other_environment(known, request, environment)
        if new_environment:
            wanted = wanted.also(ENVIRONMENT, environment_spec(environment, self._keys, known))
        elif names_environment(request) and not seen.ready:
            # This reason may say that the Secret is gone, and that the client can send it again.
            is_missing = seen.reason == Reason.CREATE_CONTAINER_ERROR
            send = self._environment_secrets.make if is_missing else self._environment_secrets.ensure
            await send(known, environment, known.spec.environment_revision)
        other_class = request.sandbox_class not in {"", known.spec.class_name}
        if not (failed or known.spec.suspend or (waits and (wanted.names or other_class))):
            ignored = (*wanted.of_pod, *([CLASS] if other_class else []))
            # A sandbox that failed because it waited in the queue for too long keeps its place, and waits again.
            again = restart_spec(known, now) if seen.status == "error" else {}
            spec = {**at_once(wanted), **again}
            kept = await self._sandboxes.set_spec(known, spec) if spec else known
            if kept and again:
                self._starts.begin(kept, called_at)
            return kept and Started(kept, ignored)
        self._permissions.check(request, key.policy, present=known.spec)
        ignored = ()
        if other_class:
            class_name = self._permissions.class_name(request, key.policy)
            if await self._can_change_class(known, class_name):
                wanted = wanted.also(CLASS, {"className": class_name})
            else:
                ignored = (CLASS,)
        class_name = wanted.spec.get("className", known.spec.class_name)
        await self._check_class(request, class_name, key.policy, present=known.spec.class_name)
        with self._limit_checks.starting(key.owner, name):
            if new_environment:
                await self._environment_secrets.make(known, environment, wanted.spec["environmentRevision"])
            life = await self._life(key, class_name, known.spec.maximum_life_seconds)
            # If the pause ends before the pod is deleted, the pod may stay, without changes.
            resumes = known.spec.suspend and (seen.suspended or not wanted.of_pod)
            run = RUNNING if resumes else restart_spec(known, now)
            running = await self._sandboxes.set_spec(known, {**wanted.spec, **life, **run}, span if resumes else None)
        if running is None:
            return None
        self._starts.begin(running, called_at)
        _log.info("sandbox started again", sandbox=name, was=seen.reason, changed=wanted.names)
        return Started(running, ignored)

    def _is_other_environment(self, known: Sandbox, request: StartRequest, environment: Mapping[str, str]) -> bool:
        """Whether the request asks for another environment. A request without one keeps the present one."""
        same = self._keys.is_environment_hash(known.spec.environment_hash, environment)
        return names_environment(request) and not same

    async def _can_change_class(self, known: Sandbox, class_name: str) -> bool:
        await self._classes.informer.wait_synced()
        present, wanted = self._classes.find(known.spec.class_name), self._classes.find(class_name)
        return can_change_class(present, wanted, launched=bool(known.status.launch))

    async def _check_class(
        self, request: StartRequest, class_name: str, policy: Policy, *, present: str | None = None
    ) -> None:
        """Raises NotAllowedError when the class does not allow the groups, or its agent server is not allowed.

        A session may keep the class that it has at `present`.
        """
        if 0 in (request.group, request.fs_group) or self._permissions.images or policy.images:
            await self._classes.informer.wait_synced()
            class_ = self._classes.spec(class_name)
            check_groups(request, class_name, class_)
            if class_name != present:
                self._permissions.check_agent_server(class_name, class_, policy)

    async def _life(self, key: ApiKey, class_name: str, own: int | None = None) -> dict[str, int]:
        """Spec fields with the key's limit of a sandbox's age; `own` is the value in its spec."""
        limit = key.policy.limits.life_seconds
        if limit is None:
            return {}
        # The field overrides the class's value, which may be less.
        await self._classes.informer.wait_synced()
        return {"maximumLifeSeconds": maximum_life(limit, own, self._classes.spec(class_name).maximum_life_seconds)}

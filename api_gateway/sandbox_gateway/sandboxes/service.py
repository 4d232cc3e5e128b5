"""The calls of the Runtime API, carried out on Sandbox resources alone.

Any replica may serve any request. A decision to write nothing needs a fresh read, since this replica's cache may lag
behind another replica's writes.

No answer has a session key that may still change: a sandbox that claims a warm pod takes over that pod's key. If a call
must be answered before that is decided, the gateway first excludes such a claim.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import structlog

from sandbox_common.api_keys import ApiKey
from sandbox_common.kube import unreadable
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.specs import PAUSED, RUNNING, is_paused, restart_spec
from sandbox_common.sandboxes.view import View
from sandbox_common.sandboxes.workspaces import would_lose_workspace
from sandbox_common.spans import OpenSpan
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.errors import (
    BeingDeletedError,
    NoSandboxError,
    NotResumableError,
    WouldLoseWorkspaceError,
)
from sandbox_gateway.contract.requests import StartRequest
from sandbox_gateway.process.metrics import STARTS
from sandbox_gateway.proxy.steps import in_steps
from sandbox_gateway.sandboxes.api import Reach, Sandboxes, is_settled
from sandbox_gateway.sandboxes.classes import SandboxClasses
from sandbox_gateway.sandboxes.held_calls import HeldCalls
from sandbox_gateway.sandboxes.limit_checks import LimitChecks
from sandbox_gateway.sandboxes.notices import Notices
from sandbox_gateway.sandboxes.starting import Starter
from sandbox_gateway.sandboxes.starts import Starts

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_API_SECONDS = 3.0
"""How long the API server may take beyond the hold. Clients give up after 15 s (openhands_ai 1.11.0)."""

type Found = tuple[Sandbox, View]


class SandboxService:
    """One replica's view of the Sandboxes of one namespace. Raises GatewayError, ApiError, and KubeClient's errors."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        classes: SandboxClasses,
        starter: Starter,
        held_calls: HeldCalls,
        limit_checks: LimitChecks,
        notices: Notices,
        starts: Starts,
        *,
        start_hold_seconds: float,
        poll_hold_seconds: float,
    ) -> None:
        self._sandboxes = sandboxes
        self._classes = classes
        self._starter = starter
        self._held_calls = held_calls
        self._limit_checks = limit_checks
        self._notices = notices
        self._starts = starts
        self._start_hold = start_hold_seconds
        self._poll_hold = poll_hold_seconds

    async def start(
        self, key: ApiKey, request: StartRequest, span: OpenSpan | None = None
    ) -> tuple[Found, Sequence[str]]:
        """The session's sandbox, made or resumed if necessary; held until it is ready or has failed.

        Also the names of the request's fields that were not applied, since the pod exists already. `span` is the
        call's. Raises LimitReachedError, and leaves no objects, when the owner's limits leave no room in time.
        """
        deadline = asyncio.get_running_loop().time() + self._start_hold
        has_tried = False
        while True:
            try:
                return await self._start(key, request, deadline, span)
            except NoSandboxError:
                # Somebody stopped it before this call was answered. So this call comes after that, and starts it again.
                if has_tried and asyncio.get_running_loop().time() >= deadline:
                    raise BeingDeletedError from None
            has_tried = True

    async def _start(
        self, key: ApiKey, request: StartRequest, deadline: float, span: OpenSpan | None
    ) -> tuple[Found, Sequence[str]]:
        before = self._sandboxes.cache.find_session(key.owner, request.session_id)
        async with asyncio.timeout_at(deadline + _API_SECONDS):
            started = await self._starter.start(key, request, deadline, span)
            if started.ignored:
                await self._notices.fields_ignored(started.sandbox, started.ignored)
        while True:
            found, seen = await self._held(started.sandbox.metadata.name, _has_started, deadline)
            refusal = self._limit_checks.refused(found, seen)
            if refusal is None:
                break
            # The client has no runtime id to stop it. If it was admitted meanwhile, it stays.
            async with asyncio.timeout(_API_SECONDS):
                if await self._sandboxes.delete_unchanged(found):
                    raise refusal
        STARTS.labels(start_result(before, found, seen)).inc()
        return (found, seen), started.ignored

    async def get(self, owner: str, runtime_id: str) -> Found:
        """The sandbox, held while it is starting. Raises NoSandboxError at once."""
        async with asyncio.timeout(_API_SECONDS):
            await self._sandboxes.owned(owner, runtime_id)
        return await self._held(runtime_id, _has_started, asyncio.get_running_loop().time() + self._poll_hold)

    async def get_session(self, owner: str, session_id: str) -> Found:
        """As `get`, by the client's session id."""
        async with asyncio.timeout(_API_SECONDS):
            sandbox = await self._sandboxes.of_session(owner, session_id)
        deadline = asyncio.get_running_loop().time() + self._poll_hold
        return await self._held(sandbox.metadata.name, _has_started, deadline)

    def runtime_id(self, owner: str, session_id: str) -> str:
        """Name of the session's sandbox, or of the one that it would get. From memory."""
        known = self._sandboxes.cache.find_session(owner, session_id)
        return known.metadata.name if known else self._sandboxes.cache.runtime_ids(owner, session_id)[0]

    async def look(self, owner: Reach, runtime_id: str) -> Found:
        """The sandbox as it is now."""
        async with asyncio.timeout(_API_SECONDS):
            await self._sandboxes.owned(owner, runtime_id)
        return await self._until(runtime_id, lambda _: True, 0)

    async def list_live(self, owner: Reach) -> list[Found]:
        """The owner's starting and running sandboxes, from memory, the oldest first."""
        found = await self._all_now(sandbox.metadata.name for sandbox in self._sandboxes.cache.owned_by(owner))
        live = [(sandbox, seen) for sandbox, seen in found if seen.status in {"starting", "running"}]
        return sorted(live, key=lambda entry: (entry[0].metadata.creation_timestamp, entry[0].metadata.name))

    async def get_batch(self, owner: str, session_ids: Iterable[str]) -> list[Found | None]:
        """The sandbox of each of these sessions, from memory; None for an unknown session."""
        wanted = list(session_ids)
        known = {each: self._sandboxes.cache.find_session(owner, each) for each in dict.fromkeys(wanted)}
        found = await self._all_now(sandbox.metadata.name for sandbox in known.values() if sandbox)
        by_name = {sandbox.metadata.name: (sandbox, seen) for sandbox, seen in found}
        return [by_name.get(sandbox.metadata.name) if (sandbox := known[each]) else None for each in wanted]

    async def pause(self, owner: Reach, runtime_id: str) -> Found:
        """Suspend it, held until its pod is gone. Then no request wakes it, even if it had been suspended as idle.

        Raises WouldLoseWorkspaceError when this would lose its workspace and its class does not accept that.
        """
        deadline = asyncio.get_running_loop().time() + self._start_hold
        async with asyncio.timeout_at(deadline + _API_SECONDS):
            while not await self._suspend(owner, runtime_id):
                pass  # it has changed in between
        return await self._held(runtime_id, lambda seen: seen.suspended or seen.status != "paused", deadline)

    async def _suspend(self, owner: Reach, runtime_id: str) -> bool:
        """Whether it is suspended or will be; False when the caller must look again."""
        sandbox = await self._sandboxes.owned(owner, runtime_id)
        if is_paused(sandbox) or await self._would_lose_workspace(sandbox):
            sandbox = await self._sandboxes.read_owned(owner, runtime_id)
        if is_paused(sandbox):
            return True
        if await self._would_lose_workspace(sandbox):
            raise WouldLoseWorkspaceError(sandbox.spec.class_name)
        paused = await self._sandboxes.set_spec(sandbox, PAUSED)
        if paused:
            _log.info("sandbox paused", sandbox=runtime_id)
        return bool(paused)

    async def _would_lose_workspace(self, sandbox: Sandbox) -> bool:
        if not would_lose_workspace(sandbox, None):
            return False
        await self._classes.informer.wait_synced()
        return would_lose_workspace(sandbox, self._classes.find(sandbox.spec.class_name))

    async def resume(self, owner: str, runtime_id: str, span: OpenSpan | None = None) -> Found:
        """Run it again, held until it is ready or has failed. `span` is the call's.

        A failed sandbox gets a new pod with its workspace; a running or starting one stays as it is. Raises
        NotResumableError when it is being deleted.
        """
        called_at = asyncio.get_running_loop().time()
        deadline = called_at + self._start_hold
        async with asyncio.timeout_at(deadline + _API_SECONDS):
            try:
                while not await self._run_again(owner, runtime_id, called_at, span):
                    pass  # it has changed in between
            except NoSandboxError:
                ending = await self._sandboxes.read(runtime_id)
                if ending and ending.spec.owner == owner and ending.metadata.deletion_timestamp:
                    raise NotResumableError from None
                raise
        return await self._held(runtime_id, _has_started, deadline)

    async def _run_again(self, owner: str, runtime_id: str, called_at: float, span: OpenSpan | None) -> bool:
        """Whether it runs or will; False when the caller must look again."""
        sandbox = await self._sandboxes.owned(owner, runtime_id)
        if sandbox.spec.suspend:
            with self._limit_checks.starting(owner, runtime_id):
                resumed = await self._sandboxes.set_spec(sandbox, RUNNING, span)
            if resumed:
                self._starts.begin(resumed, called_at)
                _log.info("sandbox resumed", sandbox=runtime_id)
            return bool(resumed)
        await self._sandboxes.read_owned(owner, runtime_id)
        sandbox, seen = await self._until(runtime_id, lambda _: True, 0)
        if seen.status != "error":
            return seen.status != "paused"
        _log.warning("failed sandbox is restarted", sandbox=runtime_id, reason=seen.summary)
        with self._limit_checks.starting(owner, runtime_id):
            spec = restart_spec(sandbox, datetime.now(UTC))
            restarted = await self._sandboxes.set_spec(sandbox, spec)
        if restarted:
            self._starts.begin(restarted, called_at)
        return bool(restarted)

    async def stop(self, owner: Reach, runtime_id: str) -> Sandbox:
        """Delete it. Kubernetes deletes what it owns in the background."""
        async with asyncio.timeout(self._start_hold + _API_SECONDS):
            sandbox = await self._sandboxes.owned(owner, runtime_id)
            while not await self._sandboxes.delete(sandbox):
                # Another replica has replaced it meanwhile; the client means the present one.
                sandbox = await self._sandboxes.read_owned(owner, runtime_id)
        return sandbox

    async def _held(self, name: str, until: Callable[[View], bool], deadline: float) -> Found:
        """The sandbox once `until` holds for it, or as it is at `deadline` (loop time). Its key is settled."""
        loop = asyncio.get_running_loop()
        while True:
            sandbox, seen = await self._until(name, until, deadline - loop.time())
            if is_settled(sandbox):
                return sandbox, seen
            async with asyncio.timeout_at(max(deadline, loop.time()) + _API_SECONDS):
                if pinned := await self._sandboxes.pin(sandbox):
                    # Nothing else has changed since the look.
                    return pinned, seen

    async def _until(self, name: str, until: Callable[[View], bool], seconds: float) -> Found:
        sandbox, seen = await self._held_calls.until(name, until, seconds)
        return sandbox, self._limit_checks.with_place(sandbox, seen)

    async def _all_now(self, runtime_ids: Iterable[str]) -> list[Found]:
        """These sandboxes, in no order. Pods that this replica has never reached are probed, side by side."""
        there: list[Found] = []
        probed: list[str] = []
        async for name in in_steps(list(runtime_ids)):
            try:
                entry = self._held_calls.now(name)
            except (ValueError, TypeError, OverflowError) as error:
                unreadable.report(SANDBOXES, name, error)
            else:
                if entry is None:
                    probed.append(name)
                else:
                    there.append(entry)
        looks = [self._held_calls.until(name, lambda _: True, 0) for name in probed]
        for name, entry in zip(probed, await asyncio.gather(*looks, return_exceptions=True), strict=True):
            if isinstance(entry, (ValueError, TypeError, OverflowError)):
                unreadable.report(SANDBOXES, name, entry)
            elif not isinstance(entry, BaseException):
                there.append(entry)
            elif not isinstance(entry, NoSandboxError):
                raise entry
        # One queue for each owner: a queue for each sandbox would cost the square of their number.
        waiting = {sandbox.spec.owner for sandbox, seen in there if seen.reason == Reason.QUEUED}
        queues = {owner: self._limit_checks.queue(owner) for owner in waiting}
        return [
            (sandbox, self._limit_checks.with_place(sandbox, seen, queues.get(sandbox.spec.owner)))
            for sandbox, seen in there
        ]


def _has_started(seen: View) -> bool:
    return seen.status != "starting"


def start_result(before: Sandbox | None, found: Sandbox, seen: View) -> str:
    """The result of a /start: a label of `metrics.STARTS`."""
    if not seen.ready:
        return "Failed" if seen.status == "error" else "Starting"
    was_ready = before is not None and before.status.ready_time and before.status.pod_uid == found.status.pod_uid
    return "Running" if was_ready else found.status.launch or "Cold"

"""The endpoint for the history of a sandbox. The hosted Runtime API has none."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog
from fastapi import APIRouter

from sandbox_common import times
from sandbox_common.kube import FAILURES, KubeClient
from sandbox_common.kube.resources import PODS
from sandbox_common.redaction import redacted
from sandbox_crds.models import Sandbox
from sandbox_gateway.contract.responses import HistoryResponse, HistoryStep
from sandbox_gateway.runtime_api import examples
from sandbox_gateway.runtime_api.openapi import answers as described
from sandbox_gateway.runtime_api.routes import Audited, Reaching, RuntimeId
from sandbox_gateway.sandboxes.events import ClusterEvents
from sandbox_gateway.sandboxes.history import Moment, history, moments_of_pod
from sandbox_gateway.sandboxes.service import SandboxService
from sandbox_gateway.sandboxes.session_secrets import SessionSecrets

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_API_SECONDS = 3.0
_INCOMPLETE = "What {} about it could not be read, so steps may be missing. The gateway's log says why."


class Histories:
    """Reads the pods and Events of one namespace. `now` is the wall clock."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        events: ClusterEvents,
        secrets: SessionSecrets,
        now: Callable[[], datetime] = times.utc_now,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._events = events
        self._secrets = secrets
        self._now = now

    async def of(self, sandbox: Sandbox) -> HistoryResponse:
        """The steps of this sandbox's life. What cannot be read is missing, and the answer says so."""
        unread: list[str] = []
        try:
            pod = await self._pod(sandbox)
        except (*FAILURES, ValueError) as error:
            pod = []
            unread.append(self._noted("its pod says", sandbox, error))
        try:
            events = await self._events.about(sandbox)
        except FAILURES as error:
            events = []
            unread.append(self._noted("Events say", sandbox, error))
        secrets = self._secrets.of(sandbox)
        found = history(sandbox, pod, events)
        ends = [*(moment.time for moment in found[1:]), self._now()]
        steps = [
            HistoryStep(
                step=moment.step,
                time=times.rfc3339_micro(moment.time),
                seconds=max(0.0, round((end - moment.time).total_seconds(), 3)),
                source=moment.source,
                detail=redacted(moment.detail, secrets),
            )
            for moment, end in zip(found, ends, strict=True)
        ]
        return HistoryResponse(runtime_id=sandbox.metadata.name, steps=steps, incomplete=" ".join(unread))

    async def _pod(self, sandbox: Sandbox) -> list[Moment]:
        name = sandbox.status.pod_name
        if not name:
            return []
        async with asyncio.timeout(_API_SECONDS):
            pod = await self._client.find(PODS, self._namespace, name)
        return [] if pod is None else moments_of_pod(pod)

    def _noted(self, what: str, sandbox: Sandbox, error: Exception) -> str:
        _log.warning("history not read", sandbox=sandbox.metadata.name, error=str(error) or type(error).__name__)
        return _INCOMPLETE.format(what)


def history_routes(service: SandboxService, histories: Histories) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["history"])

    @router.get(
        "/history/{runtime_id}",
        summary="Tell a sandbox's life so far",
        responses=described(404, a_life=examples.HISTORY),
    )
    async def of_sandbox(reach: Reaching, noted: Audited, runtime_id: RuntimeId) -> HistoryResponse:
        """The steps of a sandbox's life with their times, as far as Kubernetes still knows them.

        Kubernetes keeps Events for about an hour, so earlier starts and suspensions are missing after that. Times of
        different machines may disagree. With the permission `admin`: also of others.
        """
        noted.runtime_id = runtime_id
        sandbox, _ = await service.look(reach, runtime_id)
        noted.sandbox(sandbox)
        return await histories.of(sandbox)

    return router

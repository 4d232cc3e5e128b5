"""The gateway's own probe of a pod: it reports `ready` only after the pod's /health has answered this replica."""

import asyncio
from dataclasses import dataclass

import structlog

from sandbox_common.command import present_port
from sandbox_crds.models import Sandbox
from sandbox_gateway.proxy.awaited import AwaitedHead
from sandbox_gateway.proxy.directory import PodAddress
from sandbox_gateway.proxy.head import BadMessageError
from sandbox_gateway.proxy.upstream import UpstreamConnection, connect

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_SECONDS = 2.0
_NO_ANSWER = 503
"""The gateway's answer for a sandbox that it cannot reach."""
_OK = 200


@dataclass(frozen=True, slots=True)
class _Incarnation:
    """A pod since it last became ready."""

    sandbox_uid: str
    pod_uid: str
    ready_since: str


class HealthChecks:
    """Probes each incarnation of an agent server until it has answered once. Callers share one probe at a time.

    It knows only the present incarnation of each sandbox, and nothing after `forget`.
    """

    def __init__(self) -> None:
        self._answers: dict[str, tuple[_Incarnation, int]] = {}
        """The status of the last probe, by runtime id."""
        self._running: dict[str, tuple[_Incarnation, asyncio.Task[int]]] = {}

    def reached(self, sandbox: Sandbox) -> bool:
        """Whether this replica has got an answer. Does no I/O."""
        return self._status(sandbox) == _OK

    def failure(self, sandbox: Sandbox) -> int:
        """The HTTP status of the last probe if it failed, 503 if there was no answer; 0 before the first has ended."""
        status = self._status(sandbox)
        return 0 if status == _OK else status

    async def probe(self, sandbox: Sandbox) -> bool:
        """Probe now, unless an answer is known; False when there is none within 2 s."""
        if self.reached(sandbox):
            return True
        name, incarnation = sandbox.metadata.name, _incarnation(sandbox)
        present, task = self._running.get(name, (None, None))
        if task is None or present != incarnation:
            task = asyncio.create_task(self._get(address(sandbox)))
            self._running[name] = incarnation, task
            task.add_done_callback(lambda done: self._finish(name, incarnation, done))
        return await asyncio.shield(task) == _OK

    def forget(self, name: str) -> None:
        """The sandbox has been deleted. The result of a probe in progress is not used."""
        self._answers.pop(name, None)
        self._running.pop(name, None)

    def _status(self, sandbox: Sandbox) -> int:
        incarnation, status = self._answers.get(sandbox.metadata.name, (None, 0))
        return status if incarnation == _incarnation(sandbox) else 0

    def _finish(self, name: str, incarnation: _Incarnation, task: asyncio.Task[int]) -> None:
        if self._running.get(name) != (incarnation, task):
            return
        del self._running[name]
        if not task.cancelled() and not task.exception():
            self._answers[name] = incarnation, task.result()

    async def _get(self, target: PodAddress) -> int:
        if not target.ip:
            return _NO_ANSWER  # a resolver would read an empty name as this host
        upstream: UpstreamConnection | None = None
        try:
            async with asyncio.timeout(_SECONDS):
                # A connection for each probe: after a single probe, a kept one would only be idle.
                # The request has no key, so it does not matter whose address it is by now.
                upstream = await connect(target)
                answer = AwaitedHead(upstream)
                upstream.transport.write(_request(target.ip, target.port))
                head, _ = await answer.result
            if head.status == _OK:
                return _OK
            status, problem = head.status, f"status {head.status}"
        except (OSError, BadMessageError) as error:
            status, problem = _NO_ANSWER, str(error) or type(error).__name__
        finally:
            if upstream is not None:
                upstream.abort()
        _log.warning("agent server does not answer the gateway", address=target[:2], problem=problem)
        return status


def address(sandbox: Sandbox) -> PodAddress:
    """Where the agent server listens, by the status."""
    status = sandbox.status
    return PodAddress(status.pod_ip, present_port(sandbox), status.pod_name, status.pod_uid)


def _incarnation(sandbox: Sandbox) -> _Incarnation:
    condition = sandbox.status.condition("Ready")
    since = condition.last_transition_time if condition else ""
    return _Incarnation(sandbox.metadata.uid, sandbox.status.pod_uid, since)


def _request(host: str, port: int) -> bytes:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"GET /health HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode()

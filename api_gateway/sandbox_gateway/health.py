"""The gateway's own look at a pod: `ready` is told only after its /health has answered this replica."""

import asyncio
from dataclasses import dataclass

import structlog

from sandbox_crds.command import present_port
from sandbox_crds.models import Sandbox
from sandbox_gateway.proxy.awaited import AwaitedHead
from sandbox_gateway.proxy.head import BadMessageError
from sandbox_gateway.proxy.upstream import UpstreamConnection, connect

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_SECONDS = 2.0
_NO_ANSWER = 503
"""What the gateway answers for a sandbox that it cannot reach."""
_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class _Incarnation:
    """One pod from one time that it became ready."""

    sandbox_uid: str
    pod_uid: str
    ready_since: str


class HealthChecks:
    """Probes each incarnation of an agent server until it has answered once. One at a time, however many ask."""

    def __init__(self) -> None:
        self._reached: dict[_Incarnation, None] = {}
        self._refused: dict[_Incarnation, int] = {}
        """The status of the last probe of each that has not been reached."""
        self._running: dict[_Incarnation, asyncio.Task[int]] = {}

    def reached(self, sandbox: Sandbox) -> bool:
        """Whether this replica has had an answer. Does no I/O."""
        return _incarnation(sandbox) in self._reached

    def failure(self, sandbox: Sandbox) -> int:
        """The HTTP status of the last probe if it failed, 503 if there was no answer; 0 before the first has ended."""
        return self._refused.get(_incarnation(sandbox), 0)

    async def probe(self, sandbox: Sandbox) -> bool:
        """Ask now, unless an answer is known; False when there is none within 2 s."""
        key = _incarnation(sandbox)
        if key in self._reached:
            return True
        if key not in self._running:
            self._running[key] = task = asyncio.create_task(self._get(address(sandbox)))
            task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(self._running[key]) == 200

    def _finish(self, key: _Incarnation, task: asyncio.Task[int]) -> None:
        del self._running[key]
        if task.cancelled() or task.exception():
            return
        if task.result() == 200:
            self._reached[key] = None
            self._refused.pop(key, None)
        else:
            self._refused[key] = task.result()
        for known in (self._reached, self._refused):
            if len(known) > _REMEMBERED:
                del known[next(iter(known))]

    async def _get(self, target: tuple[str, int]) -> int:
        if not target[0]:
            return _NO_ANSWER  # to a resolver, no name is this very host
        upstream: UpstreamConnection | None = None
        try:
            async with asyncio.timeout(_SECONDS):
                # A connection for each probe: who is asked once would only keep an idle one.
                upstream = await connect(target)
                answer = AwaitedHead(upstream)
                upstream.transport.write(_request(*target))
                head, _ = await answer.result
            if head.status == 200:
                return 200
            status, problem = head.status, f"status {head.status}"
        except (OSError, BadMessageError) as error:
            status, problem = _NO_ANSWER, str(error) or type(error).__name__
        finally:
            if upstream is not None:
                upstream.abort()
        _log.warning("agent server does not answer the gateway", address=target, problem=problem)
        return status


def address(sandbox: Sandbox) -> tuple[str, int]:
    """IP and port of the agent server."""
    return sandbox.status.pod_ip, present_port(sandbox)


def _incarnation(sandbox: Sandbox) -> _Incarnation:
    condition = sandbox.status.condition("Ready")
    since = condition.last_transition_time if condition else ""
    return _Incarnation(sandbox.metadata.uid, sandbox.status.pod_uid, since)


def _request(host: str, port: int) -> bytes:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"GET /health HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n".encode()

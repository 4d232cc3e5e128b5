"""Logs of agent servers, read from the nodes through the API server."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

import structlog

from sandbox_common import times
from sandbox_common.kube import FAILURES, ApiError, KubeClient
from sandbox_common.log_text import LogText
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox
from sandbox_crds.names import CONTAINER
from sandbox_gateway.contract.errors import LogUnreachableError, NoLogError, NoLogYetError
from sandbox_gateway.sandboxes.session_secrets import SessionSecrets

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

MOST_BYTES = 16 * 1024 * 1024
"""Of one answer, as they come from the node."""
_STEP_BYTES = 16 * 1024
"""Redacted at a time; takes less than a millisecond."""
_ENOUGH = f"[The gateway ends this log after {MOST_BYTES // 1024**2} MiB. Call again with `since`.]\n".encode()
_BROKEN = b"[The log broke off: its node, or the Kubernetes API server, does not answer. Call again with `since`.]\n"


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which part of a log. `since` are seconds before now, or a time; None is its beginning."""

    tail: int
    since: int | datetime | None = None
    follow: bool = False
    timestamps: bool = False

    def encoded(self) -> dict[str, str]:
        """As the API server wants it."""
        query = {"container": CONTAINER, "tailLines": str(self.tail)}
        if isinstance(self.since, datetime):
            query["sinceTime"] = times.rfc3339(self.since)
        elif self.since is not None:
            query["sinceSeconds"] = str(self.since)
        flags = {"follow": self.follow, "timestamps": self.timestamps}
        return {**query, **{name: "true" for name, value in flags.items() if value}}


class Logs:
    """Of the sandboxes of one namespace."""

    def __init__(self, client: KubeClient, namespace: str, secrets: SessionSecrets) -> None:
        self._client = client
        self._namespace = namespace
        self._secrets = secrets

    async def read(self, sandbox: Sandbox, seen: View, query: LogQuery) -> AsyncGenerator[bytes]:
        """Pieces of the log of the present pod, redacted; the first one is empty, and comes when there is a log.

        Raises NoLogError, NoLogYetError or LogUnreachableError before it, and the errors of a call without rights.
        """
        pod = sandbox.status.pod_name
        if not pod or seen.status == "paused":
            raise _missing(sandbox, seen)
        text, left = LogText(self._secrets.of(sandbox)), MOST_BYTES
        has_begun = False
        try:
            async with self._client.log(self._namespace, pod, **query.encoded()) as stream:
                has_begun = True
                yield b""
                while left > 0 and (data := (await stream.readany())[:left]):
                    left -= len(data)
                    for start in range(0, len(data), _STEP_BYTES):
                        yield text.feed(data[start : start + _STEP_BYTES])
        except FAILURES as error:
            if not has_begun:
                raise _refusal(error, sandbox, seen) from error
            _log.warning("log broke off", sandbox=sandbox.metadata.name, error=str(error) or type(error).__name__)
            yield text.end() + _BROKEN
            return
        yield text.end() + (b"" if left else _ENOUGH)


def _refusal(error: Exception, sandbox: Sandbox, seen: View) -> Exception:
    """Of a log that could not be opened."""
    if isinstance(error, ApiError) and error.code in {400, 404}:
        # The pod has just ended, has no node, or its container has not begun.
        return _missing(sandbox, seen)
    if isinstance(error, ApiError) and error.code < 500:
        return error
    _log.warning("log not read", sandbox=sandbox.metadata.name, error=str(error) or type(error).__name__)
    return LogUnreachableError()


def _missing(sandbox: Sandbox, seen: View) -> Exception:
    if seen.status in {"starting", "running"}:
        return NoLogYetError(sandbox.metadata.name)
    return NoLogError(sandbox.metadata.name, "paused" if seen.status == "paused" else f"failed ({seen.reason})")

"""Spans of the requests that belong to a sampled trace, made from their entries for the access log."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic

from sandbox_common.spans import RUNTIME_ID, Span, Tracing
from sandbox_gateway.process.each_second import EachSecond
from sandbox_gateway.process.tallies import Route
from sandbox_gateway.proxy.meter import Entry
from sandbox_gateway.proxy.redaction import template

_A_SECOND = 100
"""Anybody can send sampled requests. A span costs about as much as the forwarding of five small requests."""


class RequestSpans:
    """Implements `access_log.Spans`. `now` counts seconds."""

    def __init__(self, tracing: Tracing, now: Callable[[], float] = monotonic) -> None:
        self._tracing = tracing
        self._now = now
        self._room = EachSecond(_A_SECOND)

    def new(self) -> str:
        """See Spans."""
        return secrets.token_hex(8) if self._room.has_room(self._now()) else ""

    def take(self, when: float, entry: Entry) -> None:
        """See Spans."""
        if entry.trace:
            self._tracing.record(span_of(when, entry), entry.trace.parent, entry.trace.span_id)


def span_of(when: float, entry: Entry) -> Span:
    """The span of a request that ended at `when`, in seconds since 1970. It says no more than the access log."""
    end = datetime.fromtimestamp(when, UTC)
    method = (entry.method or b"").decode()
    path = template(entry.target)
    attributes = {
        "http.request.method": method,
        "http.route": path,
        "http.response.status_code": entry.status,
        "http.request.size": entry.received,
        "http.response.size": entry.sent,
        "client.address": entry.client_ip,
        "network.protocol.name": "websocket" if entry.route is Route.WEBSOCKET else "http",
        "openhands.gateway.route": entry.route.value,
        "openhands.gateway.added_seconds": round(entry.added_seconds, 6),
        "openhands.gateway.detail": entry.detail,
        RUNTIME_ID: entry.runtime_id or "",
    }
    return Span(
        f"{method} {path}",
        end - timedelta(seconds=entry.seconds),
        end,
        {name: value for name, value in attributes.items() if value},
        kind="server",
        error=_error(entry),
    )


def _error(entry: Entry) -> str:
    """What clients did wrong is no error of a server."""
    if entry.status >= 500:
        return str(entry.status)
    return "broken_off" if entry.detail and entry.status < 400 else ""

"""The access log: finished requests as lines on standard output. No request waits for it.

Entries wait in a bounded queue. The event loop makes lines from a few of them at a time, so it is never blocked for
long. A thread writes the lines, so a slow reader delays nobody. Entries that find no room are dropped, and counted.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import structlog

from sandbox_gateway.process.each_second import EachSecond
from sandbox_gateway.process.metrics import DROPPED_LINES
from sandbox_gateway.process.stdout import pieces
from sandbox_gateway.proxy.meter import Entry
from sandbox_gateway.proxy.redaction import template

AccessLogMode = Literal["none", "failures", "all"]

_QUEUE = 10_000
_FAILURES_A_SECOND = 100
"""Anybody can cause failures; their lines must not fill the disk of a node."""
_BATCH = 50
"""Lines made before the event loop gets control again: about 0.3 ms."""
_GATHER_SECONDS = 0.2

type _Render = Callable[[MutableMapping[str, Any]], bytes]


class Spans(Protocol):
    """Makes spans of the requests in sampled traces."""

    def new(self) -> str:
        """Id of a new span; "" if there are too many."""
        ...

    def take(self, when: float, entry: Entry) -> None:
        """Make the span of a request that ended at `when`, in seconds since 1970."""
        ...


class RequestLog:
    """Implements `meter.AccessLog`. `run` writes the entries by calls of `write` in threads."""

    def __init__(
        self, mode: AccessLogMode, render: _Render, write: Callable[[bytes], None], spans: Spans | None = None
    ) -> None:
        self.everything = mode == "all"
        self._silent = mode == "none"
        self._render = render
        self._write = write
        self._spans = spans
        self._worker = structlog.contextvars.get_contextvars()
        self._queue = deque[tuple[float, Entry]]()
        self._queued = asyncio.Event()
        self._stopped = False
        self._failures = EachSecond(_FAILURES_A_SECOND)

    def new_span(self) -> str:
        """See AccessLog."""
        return self._spans.new() if self._spans else ""

    def take(self, entry: Entry) -> None:
        """Write it soon, or drop it."""
        now = time.time()
        if self._spans and entry.trace and entry.trace.span_id:
            self._spans.take(now, entry)
        if self._silent:
            return
        if len(self._queue) >= _QUEUE or not (self.everything or self._failures.has_room(now)):
            DROPPED_LINES.inc()
            return
        self._queue.append((now, entry))
        self._queued.set()

    def stop(self) -> None:
        """Let `run` return once all entries are written."""
        self._stopped = True
        self._queued.set()

    async def run(self) -> None:
        """Write until `stop` is called."""
        while self._queue or not self._stopped:
            await self._queued.wait()
            if not self._stopped:
                await asyncio.sleep(_GATHER_SECONDS)
            self._queued.clear()
            while self._queue:
                await self._write_batch()

    async def _write_batch(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
        lines = [self._render(event(when, entry) | self._worker) for when, entry in batch]
        try:
            await asyncio.to_thread(self._write_all, lines)
        except OSError:  # there is no reader
            DROPPED_LINES.inc(len(lines))

    def _write_all(self, lines: list[bytes]) -> None:
        for piece in pieces(lines):
            self._write(piece)


def event(when: float, entry: Entry) -> dict[str, Any]:
    """The log entry of a request that ended at `when`, in seconds since 1970. Absent values are omitted."""
    fields = {
        "event": "request",
        "level": "info",
        "logger": "sandbox_gateway.access",
        "timestamp": datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z"),
        "route": entry.route.value,
        "method": None if entry.method is None else entry.method.decode(),
        "path": None if entry.method is None else template(entry.target),
        "status": entry.status or None,
        "close_code": entry.close_code,
        "seconds": None if entry.method is None else round(entry.seconds, 6),
        "added_seconds": round(entry.added_seconds, 6) or None,
        "received_bytes": entry.received,
        "sent_bytes": entry.sent,
        "client_ip": entry.client_ip,
        "runtime_id": entry.runtime_id,
        "trace_id": entry.trace and entry.trace.trace_id,
        "detail": entry.detail or None,
    }
    return {key: value for key, value in fields.items() if value is not None}

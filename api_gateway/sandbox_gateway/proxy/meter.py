"""Measures the requests of a client's connection, and reports each to the metrics and the access log when it ends."""

from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import orjson

from sandbox_gateway.process.tallies import TALLIES, TIMED_OF, Route, Tally
from sandbox_gateway.proxy.answers import Answer
from sandbox_gateway.proxy.head import RequestHead
from sandbox_gateway.proxy.traces import Trace, sampled_trace

SERVICE_RESTART = 1012
"""A close code of IANA's registry."""
_GATEWAY = TALLIES[Route.GATEWAY]


@dataclass(frozen=True, slots=True)
class Entry:
    """One request, or one WebSocket, that has ended. Times are in seconds, sizes in bytes on the client's side."""

    route: Route
    method: bytes | None
    """None for what was no request."""
    target: bytes
    """As the client sent it; it is never logged as it is."""
    status: int
    """0: it ended without an answer."""
    seconds: float
    added_seconds: float
    received: int
    sent: int
    client_ip: str
    runtime_id: str | None
    trace: Trace | None
    """The sampled trace of which it is a part."""
    detail: str
    """Why the gateway refused it, or how it broke off."""
    close_code: int | None
    """The code with which the gateway closed a WebSocket."""


class AccessLog(Protocol):
    """Receives the entries to log."""

    everything: bool
    """Whether to log all requests, or only those that fail or are traced."""

    def new_span(self) -> str:
        """Id of a span to make of a request in a sampled trace; "" to make none."""
        ...

    def take(self, entry: Entry) -> None: ...


class Meter:
    """The meter of one connection. Its requests come one after the other; `begin` starts the next one."""

    # Each request writes to the fields on its hot path, so they are public.
    __slots__ = (
        "_counted",
        "_log",
        "_special",
        "_time_next",
        "added",
        "answer",
        "began",
        "client_ip",
        "close_code",
        "failure",
        "held",
        "owner",
        "received",
        "request",
        "runtime_id",
        "sent",
        "status",
        "tally",
        "timed",
        "trace",
    )

    def __init__(self, log: AccessLog, client_ip: str) -> None:
        self._log = log
        self.client_ip = client_ip
        self.request: RequestHead | None = None
        self.began = 0.0
        """When its head was complete. All times are in seconds of `perf_counter`."""
        self.received = 0
        """Bytes since the end of the previous request, like `sent`."""
        self.sent = 0
        self.tally: Tally = _GATEWAY
        """The tally of its route."""
        self.runtime_id: str | None = None
        """The sandbox to which it goes."""
        self.owner = ""
        """The owner of that sandbox."""
        self.status = 0
        self.timed = False
        """Whether to measure `added`: only for some, since reading clocks costs as much as the rest of a meter."""
        self.added = 0.0
        """Time that the gateway added."""
        self.trace: Trace | None = None
        """The sampled trace of which the request is a part."""
        self._time_next = log.everything
        self._special = False
        """Whether any of the following is set."""
        self.answer: Answer | None = None
        self.failure = ""
        self.close_code: int | None = None
        self.held = 0.0
        self._counted = False

    def begin(self, request: RequestHead) -> RequestHead:
        """The head of a request is complete. Returns it as the upstream shall get it."""
        self.request = request
        self.began = perf_counter()
        trace_parent = request.fields.joined.get(b"traceparent")
        if trace_parent is None:
            self.timed = self._time_next
            return request
        self.timed = True
        self.trace = trace = sampled_trace(trace_parent)
        if trace is None:
            return request
        trace.span_id = self._log.new_span()
        return request.with_field(b"traceparent", trace.own.encode()) if trace.span_id else request

    def answered(self, answer: Answer) -> None:
        """The gateway itself answered it."""
        self._special = True
        self.answer = answer
        self.status = answer.status

    def fail(self, reason: str) -> None:
        """It failed after its answer had begun."""
        self._special = True
        self.failure = reason

    def closed(self, code: int, reason: str) -> None:
        """The gateway closes this WebSocket."""
        self._special = True
        self.close_code = code
        if code != SERVICE_RESTART:  # that is no failure: its client comes back to another replica
            self.failure = reason

    def woken(self) -> None:
        """Its sandbox is awake; it waited until now."""
        self._special = True
        self.held = perf_counter() - self.began

    def switched(self) -> None:
        """It became a WebSocket, which may last: it is counted now, and logged at its end."""
        self._special = True
        self._count(0)
        self._counted = True

    def end(self, unread: int = 0) -> None:
        """It is over. The last `unread` received bytes belong to the next request."""
        if not self._counted:
            self._count(unread)
        if self.timed or self.status >= 500 or self._special:
            self._may_log(unread)
            self.trace = None
        self.received, self.sent = unread, 0
        self.request, self.tally, self.runtime_id, self.status, self.added = None, _GATEWAY, None, 0, 0.0
        if self._special:
            self.answer, self.failure, self.close_code, self.held = None, "", None, 0.0
            self._special = self._counted = False

    def _count(self, unread: int) -> None:
        tally = self.tally
        kind = self.status // 100
        tally.answers[kind] = number = tally.answers[kind] + 1
        self._time_next = not number % TIMED_OF or self._log.everything
        tally.received += self.received - unread
        tally.sent += self.sent
        if self.added:
            tally.add(self.added)

    def _may_log(self, unread: int) -> None:
        request = self.request
        refused = self.status >= 400 and self.answer is not None
        if self.status >= 500 or refused or self.failure or self.trace or self._log.everything:
            self._log.take(
                Entry(
                    route=self.tally.route,
                    method=None if request is None else request.method,
                    target=b"" if request is None else request.target,
                    status=self.status,
                    seconds=0.0 if request is None else perf_counter() - self.began,
                    added_seconds=self.added,
                    received=self.received - unread,
                    sent=self.sent,
                    client_ip=self.client_ip,
                    runtime_id=self.runtime_id,
                    trace=self.trace,
                    detail=self.failure or _detail(self.answer),
                    close_code=self.close_code,
                )
            )


def _detail(answer: Answer | None) -> str:
    return "" if answer is None or not answer.body else orjson.loads(answer.body).get("detail", "")

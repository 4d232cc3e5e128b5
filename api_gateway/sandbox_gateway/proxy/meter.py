"""What each request of a client's connection comes to, told once when it ends: to the metrics and the access log."""

from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import orjson

from sandbox_gateway.process.tallies import TALLIES, TIMED_OF, Route, Tally
from sandbox_gateway.proxy.answers import Answer
from sandbox_gateway.proxy.head import RequestHead
from sandbox_gateway.proxy.redaction import sampled_trace

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
    """As the client sent it: not to be told as it is."""
    status: int
    """0: it ended without an answer."""
    seconds: float
    added_seconds: float
    received: int
    sent: int
    client_ip: str
    runtime_id: str | None
    trace_id: str | None
    """Of a sampled trace."""
    detail: str
    """Why the gateway has refused it, or how it has broken off."""
    close_code: int | None
    """That the gateway has closed a WebSocket with."""


class AccessLog(Protocol):
    """Takes the entries that are to be told."""

    everything: bool
    """Whether all requests are to be told, or those only that fail or are traced."""

    def take(self, entry: Entry) -> None: ...


class Meter:
    """Of one connection. Requests come one after the other; `begin` opens the meter of the next one."""

    # One is made for each connection, and written to by each request on its hot path: the fields are open for that.
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
    )

    def __init__(self, log: AccessLog, client_ip: str) -> None:
        self._log = log
        self.client_ip = client_ip
        self.request: RequestHead | None = None
        self.began = 0.0
        """When its head had come; as with all times, in seconds of `perf_counter`."""
        self.received = 0
        """Bytes since the end of the request before, as is `sent`."""
        self.sent = 0
        self.tally: Tally = _GATEWAY
        """Of where it goes."""
        self.runtime_id: str | None = None
        """Of the sandbox that is to answer it."""
        self.owner = ""
        """That sandbox's."""
        self.status = 0
        self.timed = False
        """Whether `added` is to be measured: for a few, since clocks cost as much as the rest of an meter."""
        self.added = 0.0
        """Time that the gateway has added."""
        self._time_next = log.everything
        self._special = False
        """Whether any of the following is set."""
        self.answer: Answer | None = None
        self.failure = ""
        self.close_code: int | None = None
        self.held = 0.0
        self._counted = False

    def begin(self, request: RequestHead) -> None:
        """The whole head of a request has come."""
        self.request = request
        self.began = perf_counter()
        self.timed = self._time_next or b"traceparent" in request.fields.joined

    def answered(self, answer: Answer) -> None:
        """The gateway has answered it by itself."""
        self._special = True
        self.answer = answer
        self.status = answer.status

    def fail(self, reason: str) -> None:
        """It fails after its answer has begun."""
        self._special = True
        self.failure = reason

    def closed(self, code: int, reason: str) -> None:
        """The gateway closes it, a WebSocket."""
        self._special = True
        self.close_code = code
        if code != SERVICE_RESTART:  # that is no failure: its client comes back to another replica
            self.failure = reason

    def woken(self) -> None:
        """It has waited until now for its sandbox to wake."""
        self._special = True
        self.held = perf_counter() - self.began

    def switched(self) -> None:
        """It has become a WebSocket, which may last: it is counted now, and told at its end."""
        self._special = True
        self._count(0)
        self._counted = True

    def end(self, unread: int = 0) -> None:
        """It is over; of what has been received, the last `unread` bytes are not its own."""
        if not self._counted:
            self._count(unread)
        if self.timed or self.status >= 500 or self._special:
            self._may_tell(unread)
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

    def _may_tell(self, unread: int) -> None:
        request = self.request
        trace_id = None if request is None else sampled_trace(request.fields.joined.get(b"traceparent", b""))
        refused = self.status >= 400 and self.answer is not None
        if self.status >= 500 or refused or self.failure or trace_id or self._log.everything:
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
                    trace_id=trace_id,
                    detail=self.failure or _detail(self.answer),
                    close_code=self.close_code,
                )
            )


def _detail(answer: Answer | None) -> str:
    return "" if answer is None or not answer.body else orjson.loads(answer.body).get("detail", "")

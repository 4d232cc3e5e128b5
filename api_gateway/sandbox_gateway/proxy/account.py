"""What each request of a client's connection comes to, told once when it ends: to the metrics and the access log."""

from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import orjson

from sandbox_gateway.proxy.answers import Answer
from sandbox_gateway.proxy.head import RequestHead
from sandbox_gateway.proxy.redaction import sampled_trace
from sandbox_gateway.traffic import TALLIES, Route, Tally

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


class Account:
    """Of one connection. Requests come one after the other; `begin` opens the account of the next one."""

    # One is made for each connection.
    __slots__ = (
        "_counted",
        "_held",
        "_log",
        "_received_before",
        "_sent_before",
        "added",
        "answer",
        "began",
        "client_ip",
        "close_code",
        "failure",
        "received",
        "request",
        "runtime_id",
        "sent",
        "status",
        "tally",
    )

    def __init__(self, log: AccessLog, client_ip: str) -> None:
        self._log = log
        self.client_ip = client_ip
        self.received = 0
        """Bytes of the whole connection, as is `sent`."""
        self.sent = 0
        self._received_before = 0
        self._sent_before = 0
        self.request: RequestHead | None = None
        self.began = 0.0
        self._held = 0.0
        self.added = 0.0
        self.tally: Tally = _GATEWAY
        self.runtime_id: str | None = None
        self.status = 0
        self.answer: Answer | None = None
        """Of the gateway itself."""
        self.failure = ""
        """Why it has failed after its answer has begun."""
        self.close_code: int | None = None
        self._counted = False

    def begin(self, request: RequestHead) -> None:
        """The whole head of a request has come."""
        self.request = request
        self.began = perf_counter()

    def held(self) -> None:
        """It has waited until now for its sandbox to wake."""
        self._held = perf_counter() - self.began

    def forwarded(self) -> None:
        """It has been sent on."""
        self.added = perf_counter() - self.began - self._held

    def goes_to(self, tally: Tally, runtime_id: str | None) -> None:
        """Somebody else is to answer it: this sandbox, if not the control plane."""
        self.tally = tally
        self.runtime_id = runtime_id

    def answered(self, answer: Answer) -> None:
        """The gateway has answered it."""
        self.answer = answer
        self.status = answer.status

    def closed(self, code: int, reason: str) -> None:
        """The gateway closes it, a WebSocket."""
        self.close_code = code
        if code != SERVICE_RESTART:  # that is no failure: its client comes back to another replica
            self.failure = reason

    def switched(self) -> None:
        """It has become a WebSocket, which may last: it is counted now, and told at its end."""
        self._count(0)
        self._counted = True

    def end(self, unread: int = 0) -> None:
        """It is over; of what has been received, the last `unread` bytes are not its own."""
        if not self._counted:
            self._count(unread)
        request = self.request
        trace_parent = None if request is None else request.fields.joined.get(b"traceparent")
        trace_id = None if trace_parent is None else sampled_trace(trace_parent)
        if trace_id is not None or self._log.everything or self._failed():
            self._tell(unread, trace_id)
        self._received_before, self._sent_before = self.received - unread, self.sent
        self.request, self.tally, self.runtime_id = None, _GATEWAY, None
        self.status, self.added, self._held = 0, 0.0, 0.0
        self.answer, self.failure, self.close_code, self._counted = None, "", None, False

    def _count(self, unread: int) -> None:
        tally = self.tally
        tally.answers[self.status // 100] += 1
        tally.received += self.received - unread - self._received_before
        tally.sent += self.sent - self._sent_before
        if self.added:
            tally.add(self.added)

    def _failed(self) -> bool:
        status = self.status
        refused = status >= 400 and self.answer is not None
        return status >= 500 or refused or bool(self.failure)

    def _tell(self, unread: int, trace_id: str | None) -> None:
        request = self.request
        self._log.take(
            Entry(
                route=self.tally.route,
                method=None if request is None else request.method,
                target=b"" if request is None else request.target,
                status=self.status,
                seconds=0.0 if request is None else perf_counter() - self.began,
                added_seconds=self.added,
                received=self.received - unread - self._received_before,
                sent=self.sent - self._sent_before,
                client_ip=self.client_ip,
                runtime_id=self.runtime_id,
                trace_id=trace_id,
                detail=self.failure or _detail(self.answer),
                close_code=self.close_code,
            )
        )


def _detail(answer: Answer | None) -> str:
    return "" if answer is None or not answer.body else orjson.loads(answer.body).get("detail", "")

"""One request and its response, between a client's connection and an upstream one."""

import asyncio
from abc import ABC, abstractmethod
from time import perf_counter
from typing import Final, override

import structlog

from sandbox_gateway.contract.retry import Passing
from sandbox_gateway.process.metrics import EXCHANGES
from sandbox_gateway.process.tallies import TALLIES, Route
from sandbox_gateway.proxy.answers import Answer, nothing_listens, refuse, refuse_for_now
from sandbox_gateway.proxy.confinement import as_stranger, confined
from sandbox_gateway.proxy.context import Context
from sandbox_gateway.proxy.framing import Body, UntilCloseBody, response_body
from sandbox_gateway.proxy.head import RESPONSE_HEADS, BadMessageError, RequestHead, ResponseHead, recall
from sandbox_gateway.proxy.headers import client_head
from sandbox_gateway.proxy.meter import Meter
from sandbox_gateway.proxy.proofs import UNPROVEN, UnprovenError, WrongPodError, said
from sandbox_gateway.proxy.routing import ToControl, ToSandbox
from sandbox_gateway.proxy.upstream import Address, Sink, UpstreamConnection

_WORTH_A_VECTOR = 16 * 1024
"""For a body of this size, a copy costs more than a vectored write with its head."""
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110, section 9.2.2. Such a request is sent again (RFC 9112, section 9.3.1): once, if it has no body, a reused
connection failed, and no byte of an answer came. Any other request may have been carried out, so it fails."""

_CONTROL, _SANDBOX = TALLIES[Route.CONTROL], TALLIES[Route.SANDBOX]
_SERVICE, _WEBSOCKET = TALLIES[Route.SERVICE], TALLIES[Route.WEBSOCKET]

_log = structlog.get_logger(__name__)


class ClientSide(ABC):
    """What an exchange needs of the client's connection."""

    write_paused: bool
    meter: Meter

    @property
    @abstractmethod
    def has_more(self) -> bool:
        """Whether bytes after the head of the request have come."""
        ...

    @abstractmethod
    def send(self, data: bytes) -> None: ...

    @abstractmethod
    def send_both(self, first: bytes, second: bytes) -> None:
        """Send both in one system call, without a copy."""
        ...

    @abstractmethod
    def pump(self) -> None:
        """Use the client's bytes again, after the exchange can take other ones than before."""
        ...

    @abstractmethod
    def exchange_done(self, keep_alive: bool) -> None: ...

    @abstractmethod
    def exchange_failed(self, answer: Answer, request: RequestHead, body: Body) -> None:
        """No byte of a response has been sent; send `answer`."""
        ...

    @abstractmethod
    def truncate(self, *, reset: bool) -> None:
        """The response breaks off. `reset`: a plain close would look like its end."""
        ...

    @abstractmethod
    def switch(self, upstream: UpstreamConnection, rest: bytes, runtime_id: str) -> None:
        """The sandbox has switched protocols on `upstream`; `rest` are its first bytes in the new one."""
        ...


class New:
    """Not started yet."""


class Connecting:
    """To the upstream."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task


class Connected:
    """The request goes to `upstream`; its body passes as it comes."""

    def __init__(self, upstream: UpstreamConnection) -> None:
        self.upstream = upstream


class Resendable(Connected):
    """A reused connection has sent no byte yet. If it fails, the request is sent again."""


class Asked(Connected):
    """The head of the response is awaited."""


class Responding(Connected):
    """The head of the response has gone to the client."""

    def __init__(self, upstream: UpstreamConnection, body: Body, keep_client: bool, keep_upstream: bool) -> None:
        super().__init__(upstream)
        self.body = body
        self.keep_client = keep_client
        self.keep_upstream = keep_upstream


class Over:
    """Ended, or cancelled."""


type State = New | Connecting | Resendable | Asked | Responding | Over

TRANSITIONS: Final[dict[type, set[type]]] = {
    New: {Connecting, Resendable, Asked},
    Connecting: {Asked, Over},
    Resendable: {Connecting, Asked, Responding, Over},
    Asked: {Responding, Over},
    Responding: {Over},
    Over: set(),
}

_NEW: Final = New()
_OVER: Final = Over()


class Exchange(Sink):
    """Begins with `start`. Ends with one call of the client's last four methods, or with `cancel`.

    Implements `flights.Flight`.
    """

    def __init__(
        self,
        context: Context,
        client: ClientSide,
        target: ToControl | ToSandbox,
        request: RequestHead,
        head: bytes,
        body: Body,
    ) -> None:
        self._context = context
        self._client = client
        self._meter = client.meter
        self._request = request
        self._head = head
        self._body = body
        self._unsent = b""
        self._state: State = _NEW
        self._sandbox: ToSandbox | None = None
        self.runtime_id: str | None = None
        self._address: Address = context.control_socket
        if isinstance(target, ToSandbox):
            self._sandbox = target
            self.runtime_id = target.runtime_id
            self._address = target.address

    def start(self) -> None:
        if self._sandbox is not None:
            self._begin(self._sandbox)
        else:
            self._meter.tally = _CONTROL
        upstream = self._context.pool.take(self._address)
        if upstream is None:
            self._connect()
        elif self._body.done and self._request.method in _IDEMPOTENT:
            self._ask(Resendable(upstream))
        else:
            self._ask(Asked(upstream))

    def cancel(self) -> None:
        """The client is gone, or broke off its request."""
        state = self._state
        self._end()
        if isinstance(state, Connecting):
            state.task.cancel()
        elif isinstance(state, Connected):
            state.upstream.abort()

    def cut(self) -> None:
        """The pod that has the request is gone, or about to go."""
        self._break_off(Passing.MOVED, "has been suspended, deleted or moved while it worked on this request.")

    @property
    def wants_body(self) -> bool:
        """Whether `request_data` may be called now."""
        state = self._state
        return isinstance(state, Connected) and not state.upstream.write_paused and not self._body.done

    @property
    def responding(self) -> bool:
        """Whether the head of the response has gone to the client."""
        return isinstance(self._state, Responding)

    @property
    def close_delimited(self) -> bool:
        """Whether a plain close would look like the end of the response."""
        state = self._state
        return self._request.http_1_0 or (isinstance(state, Responding) and isinstance(state.body, UntilCloseBody))

    def request_data(self, data: bytes) -> bytes:
        """Forward bytes of the request's body; returns the bytes after its end. Raises BadMessageError."""
        state = self._state
        if not isinstance(state, Connected):
            return data
        forward, rest = self._body.feed(data)
        if self._unsent:
            forward, self._unsent = self._unsent + forward, b""
        if forward:
            state.upstream.transport.write(forward)
        return rest

    def client_writable(self, *, writable: bool) -> None:
        state = self._state
        if not isinstance(state, Connected):
            return
        if writable:
            state.upstream.resume_reading()
        else:
            state.upstream.pause_reading()

    # What the upstream connection calls

    @override
    def response_data(self, data: bytes) -> None:
        state = self._state
        try:
            if isinstance(state, Responding):
                forward, excess = state.body.feed(data)
                if forward:
                    self._client.send(forward)
                if state.body.done:
                    self._finish(state, excess)
                elif not self._context.turns.take(self._meter.owner):
                    self._read_in_turn(state.upstream)
                return
            came = perf_counter() if self._meter.timed else 0.0
            if isinstance(state, Connected):
                self._read_head(state, data, came)
        except BadMessageError as error:
            self._fail(error.detail)

    @override
    def upstream_closed(self, *, clean: bool) -> None:
        state = self._state
        if isinstance(state, Resendable):
            self._connect()
        elif clean and isinstance(state, Responding) and isinstance(state.body, UntilCloseBody):
            self._end()
            self._client.exchange_done(False)
        else:
            self._fail("it closed the connection")

    @override
    def upstream_writable(self, *, writable: bool) -> None:
        del writable  # read from the connection when asked for
        self._client.pump()

    # Steps

    def _read_in_turn(self, upstream: UpstreamConnection) -> None:
        """Continue to read the answer at a turn of the owner."""
        upstream.pause_reading()
        self._context.turns.wait(self._meter.owner, self._read_on)

    def _read_on(self) -> None:
        if not self._client.write_paused:
            self.client_writable(writable=True)

    def _begin(self, sandbox: ToSandbox) -> None:
        EXCHANGES.value += 1
        meter = self._meter
        meter.tally = _WEBSOCKET if self._request.websocket else _SERVICE if sandbox.service else _SANDBOX
        context, runtime_id = self._context, sandbox.runtime_id
        meter.runtime_id, meter.owner = runtime_id, sandbox.owner
        context.flights.add(self)
        context.shares(self._request).take(runtime_id, sandbox.owner)
        if sandbox.counts:
            # The handshake of a WebSocket is activity; an open WebSocket is not.
            if self._request.websocket:
                context.activity.touch(runtime_id)
            else:
                context.activity.begin(runtime_id)

    def _enter(self, state: State) -> None:
        if type(state) not in TRANSITIONS[type(self._state)]:
            raise RuntimeError(f"{type(self._state).__name__} to {type(state).__name__}")
        self._state = state

    def _end(self) -> None:
        self._enter(_OVER)
        sandbox = self._sandbox
        if sandbox is None:
            return
        EXCHANGES.value -= 1
        context, runtime_id = self._context, sandbox.runtime_id
        context.flights.remove(self)
        context.shares(self._request).give_back(runtime_id, sandbox.owner)
        if sandbox.counts and not self._request.websocket:
            context.activity.end(runtime_id)

    def _connect(self) -> None:
        self._enter(Connecting(asyncio.get_running_loop().create_task(self._connected())))

    async def _connected(self) -> None:
        try:
            upstream = await self._context.pool.open(self._address)
        except OSError as error:
            self._end()
            _log.warning("upstream_unreachable", runtime_id=self.runtime_id, error=said(error))
            service = "" if self._sandbox is None else self._sandbox.service
            if isinstance(error, UnprovenError):
                self._answer(Passing.API_SERVER, UNPROVEN)
            elif isinstance(error, WrongPodError):
                self._answer(Passing.UNREACHABLE, f"is unreachable: {error}. Try again.")
            elif isinstance(error, ConnectionRefusedError) and service:
                why = Passing.SERVICE_STARTING if service == "vscode" else 503
                self._answer(why, nothing_listens(service, self._address[1]))
            else:
                self._answer(Passing.UNREACHABLE, "is unreachable. Try again.")
            return
        self._ask(Asked(upstream))
        self._client.pump()

    def _ask(self, state: Resendable | Asked) -> None:
        self._enter(state)
        upstream = state.upstream
        upstream.sink = self
        if self._body.done or not self._client.has_more:
            upstream.transport.write(self._head)
        else:
            self._unsent = self._head  # goes with the body's first bytes, which come next
        meter = self._meter
        if meter.timed:
            meter.added = perf_counter() - meter.began - meter.held
        if self._client.write_paused:
            upstream.pause_reading()

    def _read_head(self, state: Resendable | Asked, data: bytes, came: float) -> None:
        upstream = state.upstream
        reader = upstream.reader
        while True:
            known = None if reader.started else recall(RESPONSE_HEADS, data)
            if known is not None:
                head, rest = known
            else:
                behind = reader.feed(data)
                if behind is None:
                    if isinstance(state, Resendable):
                        self._enter(Asked(upstream))
                    return
                head, rest = reader.head(), behind
            if not isinstance(self._address, str):
                head = confined(head, self._address)
                if self._sandbox is not None and self._sandbox.cookies == "workspace":
                    head = as_stranger(head)
            if head.status >= 200:
                self._respond(upstream, head, rest, came)
                return
            if head.status == 101:
                self._switch(upstream, head, rest)
                return
            if not self._request.http_1_0:
                self._client.send(client_head(head, chunked=False, close=False))
            data = rest

    def _respond(self, upstream: UpstreamConnection, head: ResponseHead, rest: bytes, came: float) -> None:
        request, meter = self._request, self._meter
        meter.status = head.status
        body = response_body(head, request)
        # A response before the end of its request is the last on this connection: the rest may never come.
        keep = (
            request.keep_alive
            and self._body.done
            and not isinstance(body, UntilCloseBody)
            and not self._context.draining
        )
        state = Responding(upstream, body, keep, head.keep_alive)
        self._enter(state)
        chunked = not request.http_1_0 and b"transfer-encoding" in head.fields.joined and not body.done
        answer = client_head(head, chunked, not keep)
        try:
            forward, excess = body.feed(rest)
        except BadMessageError:
            self._client.send(answer)
            raise
        if len(forward) < _WORTH_A_VECTOR:
            self._client.send(answer + forward)
        else:
            self._client.send_both(answer, forward)
        if meter.timed:
            meter.added += perf_counter() - came
        if body.done:
            self._finish(state, excess)

    def _switch(self, upstream: UpstreamConnection, head: ResponseHead, rest: bytes) -> None:
        if not self._request.websocket:
            raise BadMessageError(400, "it switched protocols unasked")
        upstream.sink = None
        self._end()
        self._meter.status = head.status
        self._client.send(client_head(head, chunked=False, close=False))
        self._client.switch(upstream, rest, self.runtime_id or "")

    def _finish(self, state: Responding, excess: bytes) -> None:
        """`excess` are bytes after the response."""
        self._end()
        if state.keep_upstream and self._body.done and not excess:
            self._context.pool.give_back(state.upstream)
        else:
            state.upstream.abort()
        self._client.exchange_done(state.keep_client)

    def _fail(self, reason: str) -> None:
        _log.warning("upstream_failed", runtime_id=self.runtime_id, reason=reason, responding=self.responding)
        self._break_off(502, "broke off before it answered.")

    def _break_off(self, why: int | Passing, what: str) -> None:
        responding, reset = self.responding, self.close_delimited
        self.cancel()
        if responding:
            self._meter.fail("The answer broke off.")
            self._client.truncate(reset=reset)
        else:
            self._answer(why, what)

    def _answer(self, why: int | Passing, what: str) -> None:
        """`why` is a status if the cause cannot pass by itself."""
        upstream = "The control plane" if self.runtime_id is None else f"Sandbox {self.runtime_id}"
        detail = f"{upstream} {what}"
        answer = refuse(why, detail) if isinstance(why, int) else refuse_for_now(why, detail)
        self._client.exchange_failed(answer, self._request, self._body)

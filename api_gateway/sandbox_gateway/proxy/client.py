"""A client's HTTP connection. It handles its requests one at a time, in order, and routes each one separately."""

import asyncio
import socket
import struct
from math import inf
from typing import Any, Final, cast, override

from sandbox_gateway.proxy.answers import TOO_MANY_OF_OWNER, Answer, refuse, too_many
from sandbox_gateway.proxy.context import Context
from sandbox_gateway.proxy.cors import readable
from sandbox_gateway.proxy.exchange import ClientSide, Exchange
from sandbox_gateway.proxy.first_message import FirstMessage
from sandbox_gateway.proxy.framing import Body, request_body
from sandbox_gateway.proxy.head import BadMessageError, RequestHead, RequestReader, recall_request
from sandbox_gateway.proxy.headers import upstream_head
from sandbox_gateway.proxy.held_request import READ_AHEAD, HeldRequest, held_in_vain, hold_request
from sandbox_gateway.proxy.linger import Linger
from sandbox_gateway.proxy.meter import Meter
from sandbox_gateway.proxy.routing import AwaitFirstMessage, ToControl, ToSandbox, ToSleeping, ToUnknown, route
from sandbox_gateway.proxy.tunnel import Tunnel
from sandbox_gateway.proxy.upstream import UpstreamConnection


class Head:
    """Between requests, or in the head of one."""


class Queued:
    """A request waits for a turn of its owner."""

    def __init__(self, head: RequestHead, body: Body) -> None:
        self.head = head
        self.body = body


class Over:
    """Closed, or handed to Linger, FirstMessage or Tunnel."""


type State = Head | Queued | HeldRequest | Exchange | Over
"""In a HeldRequest, a request waits for its sandbox to wake or to be known. In an Exchange, an upstream has it."""

TRANSITIONS: Final[dict[type, set[type]]] = {
    Head: {Queued, HeldRequest, Exchange, Over},
    Queued: {Head, Over},
    HeldRequest: {Head, Over},
    Exchange: {Head, Over},
    Over: set(),
}

_HEAD: Final = Head()
_OVER: Final = Over()


class ClientConnection(ClientSide):
    """Implements `context.Client`.

    Has the methods of asyncio.Protocol without being one, so that it can be compiled as a native class.
    """

    transport: asyncio.Transport

    def __init__(self, context: Context) -> None:
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._state: State = _HEAD
        self._reader = RequestReader()
        self._awaits_turn = False
        """Whether `_go_on` will be called at a turn of the owner."""
        self._has_turn = False
        self._pending = b""  # received, and not used yet
        self._read_paused = False
        self._pumping = False
        self._deadline: float | None = None
        self._timer: asyncio.Handle | None = None
        self._rings_at = inf
        self._peer = ""
        self._is_proxy = False
        """Whether the peer is a trusted proxy, whose X-Forwarded fields count."""
        self._https = context.https
        self.write_paused = False

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer: tuple[Any, ...] | None = transport.get_extra_info("peername")
        # None when it is already gone; a client of an IPv6 socket may use IPv4
        self._peer = peer[0].removeprefix("::ffff:") if peer else "unknown"
        self._is_proxy = self._peer in self._context.proxies
        self.meter = Meter(self._context.access_log, self._peer)
        self._context.join(self)
        self._expect_within(self._context.bounds.head_seconds)

    def data_received(self, data: bytes) -> None:
        self._pending = self._pending + data if self._pending else data
        self.meter.received += len(data)
        if isinstance(self._state, HeldRequest):
            self._state.receive(len(data))
        self.pump()

    def eof_received(self) -> None:
        if isinstance(self._state, Queued | HeldRequest | Exchange):
            # A client that stops listening and one that only stops sending look the same.
            self._cancel()
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()

    def pause_writing(self) -> None:
        self.write_paused = True
        if isinstance(self._state, Exchange):
            self._state.client_writable(writable=False)

    def resume_writing(self) -> None:
        self.write_paused = False
        if isinstance(self._state, Exchange):
            self._state.client_writable(writable=True)
        self.pump()

    # What the listener calls

    def drain(self) -> None:
        if isinstance(self._state, HeldRequest):
            self._state.drain()
        elif self._state is _HEAD and not self._reader.started:
            self._expect_next()

    def cut(self) -> None:
        self.transport.abort()

    # What the exchange calls

    @property
    @override
    def has_more(self) -> bool:
        return bool(self._pending)

    @override
    def send(self, data: bytes) -> None:
        self.meter.sent += len(data)
        self.transport.write(data)

    @override
    def send_both(self, first: bytes, second: bytes) -> None:
        self.meter.sent += len(first) + len(second)
        self.transport.writelines((first, second))

    @override
    def pump(self) -> None:
        """Use the received bytes, as far as the state allows. Continue to read only when all are used."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._pending and self._step():
                pass
        except BadMessageError as error:
            self._refuse(error)
        finally:
            self._pumping = False
        if self._pending or self._read_paused:
            self._choose_reading()

    @override
    def exchange_done(self, keep_alive: bool) -> None:
        self.meter.end(len(self._pending))
        if not keep_alive:
            self._end()
            return
        self._enter(_HEAD)
        self._expect_next()
        if self._pending or self._read_paused:
            self.pump()

    @override
    def exchange_failed(self, answer: Answer, request: RequestHead, body: Body) -> None:
        self._enter(_HEAD)
        self._answer(answer, request, body)
        self.pump()

    @override
    def truncate(self, *, reset: bool) -> None:
        self.meter.end(len(self._pending))
        if not reset:
            self._end()
            return
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        self._leave()
        self.transport.abort()

    @override
    def switch(self, upstream: UpstreamConnection, rest: bytes, runtime_id: str) -> None:
        if self._pending:
            upstream.transport.write(self._pending)
        self._leave()
        paused = (self.write_paused, upstream.write_paused)
        self.meter.switched()
        Tunnel(self._context, self.meter, runtime_id, self.transport, upstream.transport, rest=rest, paused=paused)

    # Steps

    def _step(self) -> bool:
        """Use some of the pending bytes; False when none can be used now. Raises BadMessageError."""
        if self._awaits_turn:
            return False
        state = self._state
        if isinstance(state, Exchange):
            if not state.wants_body or not self._may_go_on(self.meter.owner):
                return False
            data, self._pending = self._pending, b""
            self._pending = state.request_data(data)
            return True
        if state is not _HEAD or self.write_paused:
            return False
        reader = self._reader
        first = not reader.started
        known = recall_request(self._pending) if first else None
        if known is not None:
            head, self._pending = known
        else:
            rest = reader.feed(self._pending)
            self._pending = rest or b""
            if rest is None:
                if first:
                    self._expect_within(self._context.bounds.head_seconds)
                return True
            head = reader.head()
        self._deadline = None
        if self._is_proxy:
            head = self._from_outside(head)
        head = self.meter.begin(head)
        self._begin(head, request_body(head))
        return True

    def _may_go_on(self, owner: str) -> bool:
        """Whether the owner has a turn now; if not, wait for one."""
        if self._has_turn or self._context.turns.take(owner):
            self._has_turn = False
            return True
        self._awaits_turn = True
        self._context.turns.wait(owner, self._go_on)
        return False

    def _go_on(self) -> None:
        self._awaits_turn, self._has_turn = False, True
        queued = self._state
        try:
            if isinstance(queued, Queued):
                self._enter(_HEAD)
                self._begin(queued.head, queued.body)
            self.pump()
        except Exception:
            self.transport.abort()  # as a transport does when data_received fails
            raise
        self._has_turn = False

    def _from_outside(self, head: RequestHead) -> RequestHead:
        """The request as the client sent it to the outermost trusted proxy."""
        fields = head.fields.joined
        said = (fields.get(b"x-forwarded-for"), fields.get(b"x-forwarded-proto"), fields.get(b"x-forwarded-host"))
        outside = self._context.proxies.outside(self._peer, *said)
        self.meter.client_ip = outside.client_ip
        self._https = self._context.https if outside.https is None else outside.https
        return head if outside.host is None or outside.host == head.host else head.addressed_to(outside.host)

    def _choose_reading(self) -> None:
        if self._state is _OVER or self.transport.is_closing():
            return
        pause = bool(self._pending) and (not isinstance(self._state, HeldRequest) or len(self._pending) >= READ_AHEAD)
        if pause != self._read_paused:
            self._read_paused = pause
            if pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def _begin(self, head: RequestHead, body: Body, held_for: ToSleeping | ToUnknown | None = None) -> None:
        decision = route(head, self._context.directory, self._context.base_domain)
        owner = decision.owner if isinstance(decision, (ToSandbox, ToControl, ToSleeping)) else ""
        self.meter.owner = owner
        if held_for is None and not self._may_go_on(owner or self.meter.client_ip):
            self._enter(Queued(head, body))
            return
        if isinstance(decision, ToSandbox):
            shares = self._context.shares(head)
            if not shares.left(decision.runtime_id):
                self.meter.runtime_id = decision.runtime_id
                self._answer(too_many(decision.runtime_id, shares.limit, websockets=head.websocket), head, body)
                return
            if not self._context.owners.left(decision.owner):
                self.meter.runtime_id = decision.runtime_id
                self._answer(TOO_MANY_OF_OWNER, head, body)
                return
            service, https, cookies = bool(decision.service), self._https, decision.cookies
            ip = self.meter.client_ip
            forwarded = upstream_head(head, ip, False, head.websocket, service, https=https, cookies=cookies)
            self._exchange_with(decision, head, body, forwarded)
            return
        match decision:
            case ToControl():
                # It has no WebSockets; its server would log two warnings for each attempt.
                forwarded = upstream_head(head, self.meter.client_ip, True, False, https=self._https)
                self._exchange_with(decision, head, body, forwarded)
            case Answer():
                self._answer(decision, head, body)
            case AwaitFirstMessage():
                self._await_first_message(head)
            case ToSleeping() | ToUnknown():
                if isinstance(held_for, type(decision)):
                    self._answer(held_in_vain(decision), head, body)
                else:
                    self._hold_back(decision, head, body)

    def _exchange_with(self, target: ToControl | ToSandbox, head: RequestHead, body: Body, forwarded: bytes) -> None:
        exchange = Exchange(self._context, self, target, head, forwarded, body)
        self._enter(exchange)
        exchange.start()

    def _hold_back(self, target: ToSleeping | ToUnknown, head: RequestHead, body: Body) -> None:
        def done(answer: Answer | None) -> None:
            self.meter.woken()
            self._enter(_HEAD)
            if answer is None:
                self._begin(head, body, target)
            else:
                self._answer(answer, head, body)
            self.pump()

        held = hold_request(self._context, target, head.size + len(self._pending), done)
        if isinstance(held, Answer):
            self._answer(held, head, body)
        else:
            self._enter(held)

    def _answer(self, answer: Answer, head: RequestHead, body: Body) -> None:
        answer = readable(answer, head)
        head_only = head.method == b"HEAD"
        if not head.keep_alive or not body.done or self._context.draining:
            self._last_answer(answer, head_only=head_only)
            return
        self._send_own(answer, close=False, head_only=head_only)
        self._expect_next()

    def _await_first_message(self, head: RequestHead) -> None:
        pending = self._pending
        refusal = FirstMessage.refuses(head)
        if refusal is not None:
            self._last_answer(readable(refusal, head), head_only=False)
            return
        self._leave()
        FirstMessage(self._context, self.transport, head, self.meter, https=self._https).receive(pending)

    def _refuse(self, error: BadMessageError) -> None:
        exchange = self._state
        if isinstance(exchange, Exchange):
            responding, reset = exchange.responding, exchange.close_delimited
            exchange.cancel()
            if responding:
                self.meter.fail(error.detail)
                self.truncate(reset=reset)
                return
        self._last_answer(refuse(error.status, error.detail), head_only=False)

    def _last_answer(self, answer: Answer, *, head_only: bool) -> None:
        self._send_own(answer, close=True, head_only=head_only)
        self._end()

    def _send_own(self, answer: Answer, *, close: bool, head_only: bool) -> None:
        self.send(answer.encode(close=close, head_only=head_only))
        self.meter.answered(answer)
        self.meter.end(len(self._pending))

    def _cancel(self) -> None:
        under_way = self._state
        if isinstance(under_way, HeldRequest | Exchange):
            under_way.cancel()
        if isinstance(under_way, Queued | HeldRequest | Exchange):
            self.meter.end(len(self._pending))
        self._leave()

    def _end(self) -> None:
        self._leave()
        Linger(self._context, self.transport)

    def _leave(self) -> None:
        if self._state is not _OVER:
            self._enter(_OVER)
        self._pending = b""
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
        self._context.leave(self)

    def _enter(self, state: State) -> None:
        if type(state) not in TRANSITIONS[type(self._state)]:
            raise RuntimeError(f"{type(self._state).__name__} to {type(state).__name__}")
        self._state = state

    # The only timer: it runs out at the earliest deadline it was set for, and starts again if the deadline has moved

    def _expect_next(self) -> None:
        bounds = self._context.bounds
        self._expect_within(bounds.drain_idle_seconds if self._context.draining else bounds.idle_seconds)

    def _expect_within(self, seconds: float) -> None:
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is None or self._rings_at > deadline:
            self._wind_up(deadline)

    def _wind_up(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # uvloop's handle knows its time only if that is more than half a millisecond away.
        self._timer, self._rings_at = self._loop.call_at(deadline, self._ring), deadline

    def _ring(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._wind_up(self._deadline)
        elif self._reader.started:
            self._last_answer(refuse(408, "The request head did not come in time."), head_only=False)
        elif self.transport.can_write_eof():
            self._leave()
            self.transport.close()
        else:
            # A TLS transport waits for the client to end its session, and counts as a connection until then.
            self._end()

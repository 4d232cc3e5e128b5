"""A WebSocket whose sandbox is named by the key in the client's first message.

The agent server accepts the session key as the first message ({"type": "auth", "session_api_key": ...}, within 10 s),
so the sandbox is not known at the handshake. The gateway accepts the WebSocket, reads that message from a copy of the
client's bytes, opens the WebSocket of that sandbox, and sends it all bytes as they came. Then it becomes a tunnel. If
the sandbox must wake first, or this replica does not know it yet, the gateway answers the client's pings meanwhile.

The gateway offers no extension to either side, since an agreement with one would bind the other. Close codes: 1008 for
a wrong key, 1013 for a sandbox that is down. 4001 and 4004 are the agent server's; after 1000 and 1001 the SDK would
reconnect at once, without end.
"""

import asyncio
import base64
import binascii
import hashlib
from typing import Any, override

import orjson
import structlog
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from sandbox_gateway.process.tallies import TALLIES, Route
from sandbox_gateway.proxy.answers import Answer, refuse
from sandbox_gateway.proxy.awaited import AwaitedHead
from sandbox_gateway.proxy.context import Context
from sandbox_gateway.proxy.head import BadMessageError, RequestHead
from sandbox_gateway.proxy.headers import upstream_head
from sandbox_gateway.proxy.held_request import READ_AHEAD, HeldRequest, hold_request
from sandbox_gateway.proxy.linger import Linger
from sandbox_gateway.proxy.meter import SERVICE_RESTART, Meter
from sandbox_gateway.proxy.proofs import said
from sandbox_gateway.proxy.routing import ToSandbox, ToSleeping, ToUnknown, by_session_key
from sandbox_gateway.proxy.tunnel import Tunnel
from sandbox_gateway.proxy.upstream import UpstreamConnection

_POLICY_VIOLATION = 1008
_TOO_BIG = 1009
_TRY_AGAIN_LATER = 1013
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 4.2.2

_log = structlog.get_logger(__name__)


class FirstMessage(asyncio.Protocol):
    """Takes over a client's transport at its WebSocket handshake, and accepts it. Implements `context.Client`."""

    def __init__(
        self, context: Context, transport: asyncio.Transport, request: RequestHead, meter: Meter, *, https: bool
    ) -> None:
        self._context = context
        self._transport = transport
        self._request = request
        self._meter = meter
        self._https = https
        self._accept = _accept(request)
        self._websocket = Connection(ConnectionType.SERVER)
        self._received = b""
        self._text = ""
        self._write_paused = False
        self._hold: HeldRequest | None = None
        self._opening: asyncio.Task[None] | None = None
        self._share: str | None = None
        """The sandbox whose share of WebSockets includes this one."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(context.bounds.first_message_seconds, self._late)
        context.join(self)
        transport.set_protocol(self)
        transport.resume_reading()
        meter.status = 101
        self._send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % self._accept
        )

    @staticmethod
    def refuses(request: RequestHead) -> Answer | None:
        """The answer to a handshake that violates RFC 6455, else None."""
        fields = request.fields.joined
        if fields.get(b"sec-websocket-version") != b"13":
            return refuse(400, "Only WebSocket version 13 is spoken here.", (b"Sec-WebSocket-Version", b"13"))
        try:
            key = base64.b64decode(fields.get(b"sec-websocket-key", b""), validate=True)
        except binascii.Error:
            key = b""
        return None if len(key) == 16 else refuse(400, "The Sec-WebSocket-Key is missing or malformed.")

    # What the transport calls

    @override
    def data_received(self, data: bytes) -> None:
        self._meter.received += len(data)
        self.receive(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._meter.end()
        self._leave()

    @override
    def pause_writing(self) -> None:
        self._write_paused = True

    @override
    def resume_writing(self) -> None:
        self._write_paused = False

    # What the client's connection calls, too

    def receive(self, data: bytes) -> None:
        """Take bytes that came after the handshake."""
        self._received += data
        if self._hold is not None:
            self._receive_held(self._hold, data)
        elif self._opening is None:
            self._look(data)
        elif len(self._received) > self._context.bounds.first_message_bytes:
            self._transport.pause_reading()

    # What the listener calls

    def drain(self) -> None:
        if self._opening is None:
            # A held one closes too: its client reconnects to another replica.
            self._close(SERVICE_RESTART, "the gateway restarts")

    def cut(self) -> None:
        self._transport.abort()

    # Steps

    def _look(self, data: bytes) -> None:
        self._websocket.receive_data(data)
        for event in self._websocket.events():
            match event:
                case Ping() | Pong():
                    pass  # the sandbox will answer
                case TextMessage():
                    self._text += event.data
                    if len(self._text) > self._context.bounds.first_message_bytes:
                        break
                    if event.message_finished:
                        self._open(self._text)
                        return
                case BytesMessage():
                    self._close(_POLICY_VIOLATION, "the first message must be the session key")
                    return
                case CloseConnection(code=code):
                    self._close(code, "")
                    return
                case _:
                    raise AssertionError(event)
        if len(self._received) > self._context.bounds.first_message_bytes:
            self._close(_TOO_BIG, "the first message is too big")

    def _late(self) -> None:
        self._close(_POLICY_VIOLATION, "the session key did not come in time")

    def _open(self, text: str) -> None:
        self._timer.cancel()
        key = _session_key(text)
        if key is None:
            self._close(_POLICY_VIOLATION, "the first message must be the session key")
        else:
            self._route(key)

    def _route(self, key: str, held_for: ToSleeping | ToUnknown | None = None) -> None:
        target = by_session_key(key, self._request, self._context.directory)
        match target:
            case ToSandbox() if not self._context.websockets.left(target.runtime_id):
                self._close(_TRY_AGAIN_LATER, "the sandbox has too many WebSockets open")
            case ToSandbox() if not self._context.owners.left(target.owner):
                self._close(_TRY_AGAIN_LATER, "the sandbox's owner has too many connections")
            case ToSandbox():
                self._share = target.runtime_id
                self._context.websockets.take(self._share, target.owner)
                self._meter.tally, self._meter.runtime_id = TALLIES[Route.WEBSOCKET], self._share
                self._meter.owner = target.owner
                if target.counts:
                    self._context.activity.touch(target.runtime_id)
                self._opening = asyncio.get_running_loop().create_task(self._opened(target))
            case ToSleeping() | ToUnknown() if not isinstance(held_for, type(target)):
                self._hold_back(target, key)
            case ToSleeping() | ToUnknown() | Answer(status=503):
                self._close(_TRY_AGAIN_LATER, "the sandbox is not running")
            case _:
                self._close(_POLICY_VIOLATION, "the session key opens no sandbox")

    def _hold_back(self, target: ToSleeping | ToUnknown, key: str) -> None:
        def done(answer: Answer | None) -> None:
            self._hold = None
            self._meter.woken()
            if answer is None:
                self._route(key, target)
            else:
                self._close(_TRY_AGAIN_LATER, "too many requests are waiting for sandboxes")

        held = hold_request(self._context, target, self._request.size + len(self._received), done)
        if isinstance(held, Answer):
            done(held)
        else:
            self._hold = held

    def _receive_held(self, held: HeldRequest, data: bytes) -> None:
        held.receive(len(data))
        if self._hold is None:
            return
        if len(self._received) >= READ_AHEAD:
            self._transport.pause_reading()
        self._websocket.receive_data(data)
        for event in self._websocket.events():
            match event:
                case Ping():
                    self._send(self._websocket.send(event.response()))
                case CloseConnection(code=code):
                    self._close(code, "")
                    return
                case _:
                    pass  # for the sandbox

    async def _opened(self, target: ToSandbox) -> None:
        ip, cookies = self._meter.client_ip, target.cookies
        head = upstream_head(self._request, ip, False, True, offers=False, https=self._https, cookies=cookies)
        upstream: UpstreamConnection | None = None
        try:
            async with asyncio.timeout(self._context.bounds.handshake_seconds):
                upstream = await self._context.pool.open(target.address)
                handshake = AwaitedHead(upstream)
                upstream.transport.write(head)
                response, rest = await handshake.result
        except BaseException as error:
            if upstream is not None:
                upstream.abort()
            if not isinstance(error, OSError | BadMessageError):
                raise
            _log.warning("upstream_unreachable", runtime_id=target.runtime_id, error=said(error))
            self._close(_TRY_AGAIN_LATER, "the sandbox cannot be reached")
            return
        fields = response.fields.joined
        agreed = fields.get(b"sec-websocket-accept") == self._accept and b"sec-websocket-extensions" not in fields
        if response.status == 101 and agreed:
            self._switch(upstream, rest, target.runtime_id)
            return
        upstream.abort()
        code = _TRY_AGAIN_LATER if response.status >= 500 else _POLICY_VIOLATION
        self._close(code, f"the sandbox refused the WebSocket with status {response.status}")

    def _switch(self, upstream: UpstreamConnection, rest: bytes, runtime_id: str) -> None:
        self._opening = None
        upstream.transport.write(self._received)
        self._leave()
        paused = (self._write_paused, upstream.write_paused)
        self._meter.switched()
        Tunnel(self._context, self._meter, runtime_id, self._transport, upstream.transport, rest=rest, paused=paused)

    def _close(self, code: int, reason: str) -> None:
        self._opening = None
        self._send(self._websocket.send(CloseConnection(code=code, reason=reason)))
        if reason:
            self._meter.closed(code, reason)
        self._meter.end()
        self._leave()
        Linger(self._context, self._transport)

    def _send(self, data: bytes) -> None:
        self._meter.sent += len(data)
        self._transport.write(data)

    def _leave(self) -> None:
        held, self._hold = self._hold, None
        if held is not None:
            held.cancel()
        share, self._share = self._share, None
        if share is not None:
            self._context.websockets.give_back(share, self._meter.owner)
        self._timer.cancel()
        self._context.leave(self)


def _accept(request: RequestHead) -> bytes:
    key = request.fields.joined[b"sec-websocket-key"]
    return base64.b64encode(hashlib.sha1(key + _ACCEPT_GUID, usedforsecurity=False).digest())


def _session_key(text: str) -> str | None:
    try:
        message: Any = orjson.loads(text)
    except ValueError:
        return None
    match message:
        case {"type": "auth", "session_api_key": str(key)}:
            return key
        case _:
            return None

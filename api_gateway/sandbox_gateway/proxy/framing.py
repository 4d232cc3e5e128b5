"""Finds where a message body ends (RFC 9112, section 6), while its bytes pass.

A body takes received bytes and returns the bytes to forward and those after its end. Both do not depend on how the
bytes were cut into segments, except that an unfinished line waits for its end.
"""

import re
from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import override

from sandbox_gateway.proxy.head import BadMessageError, Fields, RequestHead, ResponseHead
from sandbox_gateway.proxy.headers import allowed_in_trailers

_MAX_LINE_BYTES = 4 * 1024
_MAX_TRAILER_BYTES = 16 * 1024
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t\x20-\x7e\x80-\xff]*")


class Body(ABC):
    """A body in transit. `done` once its end was seen."""

    done: bool

    @abstractmethod
    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(bytes to forward, bytes after the body's end). Raises BadMessageError."""
        ...


class FixedBody(Body):
    """A body of a known number of bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    @override
    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        size, left = len(data), self._left
        if size < left:
            self._left = left - size
            return data, b""
        self._left, self.done = 0, True
        return (data, b"") if size == left else (data[:left], data[left:])


class UntilCloseBody(Body):
    """A response body that ends with its connection."""

    def __init__(self) -> None:
        self.done = False

    @override
    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        return data, b""


class _At(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()


class ChunkedBody(Body):
    """A chunked body, forwarded as it came without forbidden trailer fields; with `decode`, as plain content."""

    def __init__(self, *, decode: bool = False) -> None:
        self.done = False
        self._decode = decode
        self._at = _At.SIZE
        self._left = 0
        self._held = b""
        self._trailers = b""
        self._trailer_bytes = 0

    @override
    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._held:
            data, self._held = self._held + data, b""
        payload: list[bytes] = []
        at, passed, size = 0, 0, len(data)
        while at < size and not self.done:
            if self._at is _At.DATA:
                step = min(self._left, size - at)
                if self._decode:
                    payload.append(data[at : at + step])
                at += step
                self._left -= step
                if self._left == 0:
                    self._at = _At.DATA_END
            else:
                end = data.find(b"\r\n", at, at + _MAX_LINE_BYTES)
                if end < 0:
                    self._hold(data[at:])
                    break
                in_trailer = self._at is _At.TRAILER
                self._line(data[at:end])
                at = end + 2
                if in_trailer:
                    continue
            passed = at
        if self._decode:
            forward = b"".join(payload)
        else:
            forward = data if passed == size else data[:passed]
            if self.done:
                forward += self._trailers + b"\r\n"
        return forward, data[at:] if self.done else b""

    def _hold(self, line: bytes) -> None:
        if b"\n" in line or len(line) >= _MAX_LINE_BYTES:
            raise BadMessageError(400, "Malformed HTTP: bad line in a chunked body.")
        self._held = line

    def _line(self, line: bytes) -> None:
        if self._at is _At.SIZE:
            match = _CHUNK_SIZE.fullmatch(line)
            if match is None:
                raise BadMessageError(400, "Malformed HTTP: bad chunk size.")
            self._left = int(match[1], 16)
            self._at = _At.DATA if self._left else _At.TRAILER
        elif self._at is _At.DATA_END:
            if line:
                raise BadMessageError(400, "Malformed HTTP: a chunk is longer than its size.")
            self._at = _At.SIZE
        elif not line:
            self.done = True
        else:
            match = _TRAILER.fullmatch(line)
            self._trailer_bytes += len(line)
            if match is None or self._trailer_bytes > _MAX_TRAILER_BYTES:
                raise BadMessageError(400, "Malformed HTTP: bad trailer.")
            if allowed_in_trailers(match[1].lower()):
                self._trailers += line + b"\r\n"


NO_BODY = FixedBody(0)


def request_body(head: RequestHead) -> Body:
    """How the body of this request is framed. Raises BadMessageError."""
    coding, length = head.fields.framing or _framing_fields(head.fields)
    body: Body
    if coding is None:
        body = FixedBody(length) if length else NO_BODY
    elif head.http_1_0:
        raise BadMessageError(400, "HTTP/1.0 has no Transfer-Encoding.")
    elif coding.lower() != b"chunked":
        raise BadMessageError(501, "The only Transfer-Encoding accepted is chunked.")
    else:
        body = ChunkedBody()
    if head.websocket and not body.done:
        raise BadMessageError(400, "A WebSocket handshake has no body.")
    return body


def response_body(head: ResponseHead, request: RequestHead) -> Body:
    """How the body of the answer to `request` is framed. Raises BadMessageError."""
    coding, length = head.fields.framing or _framing_fields(head.fields)
    if length == 0 or request.method == b"HEAD" or head.status < 200 or head.status in (204, 304):
        return NO_BODY
    if coding is not None:
        if head.http_1_0 or coding.lower() != b"chunked":
            raise BadMessageError(400, "The response has a Transfer-Encoding that the request did not ask for.")
        return ChunkedBody(decode=request.http_1_0)
    return UntilCloseBody() if length is None else FixedBody(length)


def _framing_fields(fields: Fields) -> tuple[bytes | None, int | None]:
    """(transfer coding as sent, content length), at most one of them. It is remembered."""
    fields.framing = framing = _read_framing(fields)
    return framing


def _read_framing(fields: Fields) -> tuple[bytes | None, int | None]:
    coding = fields.joined.get(b"transfer-encoding")
    length = fields.joined.get(b"content-length")
    if length is None:
        return coding, None
    if coding is not None:
        raise BadMessageError(400, "Content-Length and Transfer-Encoding exclude each other.")
    if not _LENGTH.fullmatch(length):
        raise BadMessageError(400, "The Content-Length must be given once, as a number.")
    return None, int(length)

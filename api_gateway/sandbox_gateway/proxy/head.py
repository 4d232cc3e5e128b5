"""Reading the head of an HTTP/1.1 message, strictly.

llhttp checks the grammar of start line and fields (no bare LF, no folding, no space before a colon, one framing field).
What it lets pass is checked here: extra spaces and other protocols in the start line, the form of the target, Host.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import override

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

MAX_HEAD_BYTES = 64 * 1024

_END = b"\r\n\r\n"
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE_FORM = re.compile(rb"(?i:https?)://([^/?]+)(.*)")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n")


class BadMessageError(Exception):
    """A message that must not be forwarded. `status` and `detail` are for the answer to its sender."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(slots=True)
class Fields:
    """Header fields in order, each as (lower-case name, name as sent, value without white space around it)."""

    lines: list[tuple[bytes, bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes, bytes]])
    joined: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    """Lower-case name to value; the values of a repeated field are joined by commas."""
    repeated: set[bytes] = field(default_factory=set[bytes])

    def add(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        value = value.strip(b" \t")
        self.lines.append((lower, name, value))
        if lower in self.joined:
            self.joined[lower] += b", " + value
            self.repeated.add(lower)
        else:
            self.joined[lower] = value

    def tokens(self, name: bytes) -> list[bytes]:
        """The members of a comma-separated field, in lower case."""
        value = self.joined.get(name)
        return [] if value is None else [part for item in value.split(b",") if (part := item.strip(b" \t").lower())]


@dataclass(slots=True)
class RequestHead:
    """`target` is in origin form (or `*`), byte for byte as sent; `host` is what the client addressed."""

    method: bytes
    target: bytes
    host: bytes
    http_1_0: bool
    fields: Fields
    keep_alive: bool
    websocket: bool

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.target) + sum(len(name) + len(value) for _, name, value in self.fields.lines)


@dataclass(slots=True)
class ResponseHead:
    status: int
    reason: bytes
    http_1_0: bool
    fields: Fields
    keep_alive: bool


class _Reader(ABC):
    """Takes bytes in any portions until the empty line that ends a head."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._complete = False
        self._fields = Fields()
        self._parser = self._make_parser()

    @property
    def started(self) -> bool:
        """Whether any byte has come."""
        return bool(self._raw)

    def feed(self, data: bytes) -> bytes | None:
        """The bytes after the head once it is complete, else None. Raises BadMessageError."""
        raw = self._raw
        before = len(raw)
        raw += data
        found = raw.find(_END, max(before - 3, 0))
        end = found + len(_END) if found >= 0 else len(raw)
        self._parse(bytes(raw[before : min(end, MAX_HEAD_BYTES)]))
        if self._complete:
            del raw[end:]
            return data[end - before :]
        if end > MAX_HEAD_BYTES:
            raise BadMessageError(431, f"The head of the message is larger than {MAX_HEAD_BYTES} bytes.")
        if found >= 0:
            raise BadMessageError(400, "Malformed HTTP: empty lines before the start line.")
        return None

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # raised at the end of a head that asks for an upgrade
        except HttpParserError as error:
            raise BadMessageError(400, f"Malformed HTTP: {error}.") from None

    def _start_line(self) -> bytes:
        head = bytes(self._raw)
        stripped = head.lstrip(b"\r\n")
        if head[: len(head) - len(stripped)].replace(b"\r\n", b""):
            raise BadMessageError(400, "Malformed HTTP: bare CR or LF before the start line.")
        return stripped[: stripped.index(b"\r\n") + 2]

    @abstractmethod
    def _make_parser(self) -> HttpRequestParser | HttpResponseParser: ...

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.add(name, value)

    def on_headers_complete(self) -> None:
        self._complete = True


class RequestReader(_Reader):
    """Reads one request head."""

    _parser: HttpRequestParser

    def __init__(self) -> None:
        super().__init__()
        self._target = b""

    @override
    def _make_parser(self) -> HttpRequestParser:
        return HttpRequestParser(self)

    def on_url(self, part: bytes) -> None:
        self._target += part

    def head(self) -> RequestHead:
        """The head, once `feed` has returned bytes. Raises BadMessageError."""
        method, target, fields = self._parser.get_method(), self._target, self._fields
        line = self._start_line()
        start = b"%b %b HTTP/1." % (method, target)
        version = line[len(start) :]
        if not line.startswith(start) or version not in (b"0\r\n", b"1\r\n"):
            if self._parser.get_http_version() not in ("1.0", "1.1"):
                raise BadMessageError(505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
            raise BadMessageError(400, "Malformed HTTP: bad request line.")
        host, target = _addressed(method, target, fields)
        http_1_0 = version == b"0\r\n"
        connection = fields.tokens(b"connection")
        return RequestHead(
            method=method,
            target=target,
            host=host,
            http_1_0=http_1_0,
            fields=fields,
            keep_alive=not http_1_0 and b"close" not in connection,
            websocket=(
                method == b"GET"
                and not http_1_0
                and b"upgrade" in connection
                and b"websocket" in fields.tokens(b"upgrade")
            ),
        )


class ResponseReader(_Reader):
    """Reads one response head."""

    @override
    def _make_parser(self) -> HttpResponseParser:
        return HttpResponseParser(self)

    def head(self) -> ResponseHead:
        """The head, once `feed` has returned bytes. Raises BadMessageError."""
        match = _STATUS_LINE.fullmatch(self._start_line())
        if match is None:
            raise BadMessageError(400, "Malformed HTTP: bad status line.")
        http_1_0 = match[1] == b"0"
        return ResponseHead(
            status=int(match[2]),
            reason=match[3] or b"",
            http_1_0=http_1_0,
            fields=self._fields,
            keep_alive=not http_1_0 and b"close" not in self._fields.tokens(b"connection"),
        )


def _addressed(method: bytes, target: bytes, fields: Fields) -> tuple[bytes, bytes]:
    """(host, target in origin form). An authority in the target outranks Host (RFC 9112, section 3.2.2)."""
    host = fields.joined.get(b"host")
    if host is None or b"host" in fields.repeated:
        raise BadMessageError(400, "A request needs exactly one Host header.")
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute is None:
            raise BadMessageError(400, "The request target must be a path.")
        host, path = absolute[1], absolute[2]
        if not path.startswith(b"/"):
            path = b"*" if method == b"OPTIONS" and not path else b"/" + path
        target = path
    if b"#" in target:
        raise BadMessageError(400, "The request target must not have a fragment.")
    if not _HOST.fullmatch(host):
        raise BadMessageError(400, "The Host header is malformed.")
    return host, target

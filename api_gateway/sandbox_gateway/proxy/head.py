"""Reading the head of an HTTP/1.1 message, strictly.

llhttp checks the grammar of start line and fields (no bare LF, no folding, no space before a colon, one framing field).
This module checks what llhttp does not: extra spaces and other protocols in the start line, the form of the target,
Host. It remembers the heads that it has read, and the fields of requests also separately, since clients repeat them
with different request lines. Remembered heads are shared, so they are never changed.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import cast, override

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from sandbox_gateway.proxy.memo import Memo

MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 100
"""As with Envoy and Apache. Fields cost more time than their bytes: 16,000 short ones took 40 ms."""
# The largest head that is remembered; with its parsed fields it takes about 10 KiB at most.
_MEMO_BYTES = 2 * 1024
_MEMO_FIELDS = 32

_END = b"\r\n\r\n"
HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE_FORM = re.compile(rb"(?i:https?)://([^/?]+)(.*)")
_USUAL_LINE = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$-~]*) HTTP/1\.1\r\n")
"""A request line that llhttp accepts before any fields, and that does not change how it reads them."""
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
    framing: tuple[bytes | None, int | None] | None = field(default=None, compare=False)
    """The result of framing.py for them."""
    rewritten: dict[tuple[bool | str | bytes, ...], tuple[bytes, bytes]] = field(
        default_factory=dict[tuple[bool | str | bytes, ...], tuple[bytes, bytes]], compare=False
    )
    """The result of headers.py for those of a request."""

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
    """`target` is in origin form (or `*`), byte for byte as sent; `host` is the one that the client addressed."""

    method: bytes
    target: bytes
    host: bytes
    http_1_0: bool
    fields: Fields
    keep_alive: bool
    websocket: bool
    rewritten: dict[tuple[bool | str, ...], tuple[bytes, bytes]] = field(
        default_factory=dict[tuple[bool | str, ...], tuple[bytes, bytes]], compare=False
    )
    """The result of headers.py for it."""
    asked: tuple[bool, bool, str | None, tuple[str, ...]] | None = field(default=None, compare=False)
    """The result of routing.py for it."""

    def addressed_to(self, host: bytes) -> "RequestHead":
        """The same request, addressed to this host."""
        return RequestHead(self.method, self.target, host, self.http_1_0, self.fields, self.keep_alive, self.websocket)

    def with_field(self, lower: bytes, value: bytes) -> "RequestHead":
        """The same request, with another value of a field that it has once, and that means nothing to the gateway."""
        old = self.fields
        lines = [(name, sent, value if name == lower else former) for name, sent, former in old.lines]
        fields = Fields(lines, {**old.joined, lower: value}, old.repeated, old.framing)
        return RequestHead(
            self.method,
            self.target,
            self.host,
            self.http_1_0,
            fields,
            self.keep_alive,
            self.websocket,
            asked=self.asked,
        )

    @property
    def size(self) -> int:
        """Its approximate size in bytes."""
        return len(self.target) + sum(len(name) + len(value) for _, name, value in self.fields.lines)


@dataclass(slots=True)
class ResponseHead:
    status: int
    reason: bytes
    http_1_0: bool
    fields: Fields
    keep_alive: bool
    rewritten: dict[tuple[bool, bool], bytes] = field(default_factory=dict[tuple[bool, bool], bytes], compare=False)
    """The result of headers.py for it."""


REQUEST_HEADS = Memo[RequestHead]()
REQUESTS_BY_FIELDS = Memo[RequestHead]()
"""One request with these fields, whose bytes are everything after the request line."""
RESPONSE_HEADS = Memo[ResponseHead]()


def recall[Head](heads: Memo[Head], data: bytes) -> tuple[Head, bytes] | None:
    """(head, the bytes after it) if `data` begins with a remembered head. `data` must begin with a head."""
    end = data.find(_END) + len(_END)
    head = heads.get(data[:end])
    return None if head is None else (head, data[end:])


def recall_request(data: bytes) -> tuple[RequestHead, bytes] | None:
    """(head, the bytes after it) if `data` begins with a remembered head, or a head with remembered fields."""
    end = data.find(_END) + len(_END)
    raw = data[:end]
    head = REQUEST_HEADS.get(raw)
    if head is None:
        line = _USUAL_LINE.match(raw)
        if line is None or end > MAX_HEAD_BYTES:
            return None
        like = REQUESTS_BY_FIELDS.get(raw[line.end() :])
        if like is None:
            return None
        head = RequestHead(line[1], line[2], like.host, False, like.fields, like.keep_alive, False)
        if end <= _MEMO_BYTES:
            REQUEST_HEADS.put(raw, head)
    return head, data[end:]


class _Reader[Head](ABC):
    """Takes bytes in any portions until the empty line that ends a head. Then it is ready for the next one."""

    def __init__(self, heads: Memo[Head]) -> None:
        self._heads = heads
        self.started = False
        """Whether a part of a head has come."""
        self._raw = b""
        self._parser: HttpRequestParser | HttpResponseParser | None = None
        self._fields = Fields()
        self._complete = False
        self._too_many = False

    def feed(self, data: bytes) -> bytes | None:
        """The bytes after the head once it is complete, else None. Raises BadMessageError."""
        if self._parser is None:
            self._parser, self._fields, self.started = self._make_parser(), Fields(), bool(data)
        before = len(self._raw)
        self._raw = raw = self._raw + data
        found = raw.find(_END, max(before - 3, 0))
        end = found + len(_END) if found >= 0 else len(raw)
        self._parse(self._parser, raw[before : min(end, MAX_HEAD_BYTES)])
        if self._too_many:
            raise BadMessageError(431, f"The head of the message has more than {MAX_FIELDS} fields.")
        if self._complete:
            self._raw = raw[:end]
            return data[end - before :]
        if end > MAX_HEAD_BYTES:
            raise BadMessageError(431, f"The head of the message is larger than {MAX_HEAD_BYTES} bytes.")
        if found >= 0:
            raise BadMessageError(400, "Malformed HTTP: empty lines before the start line.")
        return None

    def head(self) -> Head:
        """The head, once `feed` has returned bytes; it is remembered. Raises BadMessageError."""
        head = self._make_head()
        if len(self._fields.lines) <= _MEMO_FIELDS:
            self._remember(self._raw, head)
        self._raw, self._parser, self.started, self._complete = b"", None, False, False
        return head

    def _parse(self, parser: HttpRequestParser | HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # llhttp raises this at the end of a head that asks for an upgrade
        except HttpParserError as error:
            if self._too_many:
                return
            raise BadMessageError(400, f"Malformed HTTP: {error}.") from None

    def _start_line(self) -> bytes:
        stripped = self._raw.lstrip(b"\r\n")
        if self._raw[: len(self._raw) - len(stripped)].replace(b"\r\n", b""):
            raise BadMessageError(400, "Malformed HTTP: bare CR or LF before the start line.")
        return stripped[: stripped.index(b"\r\n") + 2]

    @abstractmethod
    def _make_parser(self) -> HttpRequestParser | HttpResponseParser: ...

    @abstractmethod
    def _make_head(self) -> Head: ...

    def _remember(self, raw: bytes, head: Head) -> None:
        if len(raw) <= _MEMO_BYTES:
            self._heads.put(raw, head)

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._fields.lines) < MAX_FIELDS:
            self._fields.add(name, value)
        else:
            self._too_many = True

    def on_headers_complete(self) -> None:
        self._complete = True


class RequestReader(_Reader[RequestHead]):
    """Reads request heads, one at a time."""

    def __init__(self) -> None:
        super().__init__(REQUEST_HEADS)
        self._target = b""

    @override
    def _make_parser(self) -> HttpRequestParser:
        self._target = b""
        return HttpRequestParser(self)

    def on_url(self, part: bytes) -> None:
        self._target += part

    @override
    def _make_head(self) -> RequestHead:
        parser = cast(HttpRequestParser, self._parser)
        method, target, fields = parser.get_method(), self._target, self._fields
        line = self._start_line()
        start = b"%b %b HTTP/1." % (method, target)
        version = line[len(start) :]
        if not line.startswith(start) or version not in (b"0\r\n", b"1\r\n"):
            if parser.get_http_version() not in ("1.0", "1.1"):
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

    @override
    def _remember(self, raw: bytes, head: RequestHead) -> None:
        super()._remember(raw, head)
        line = _USUAL_LINE.match(raw)
        if line is not None and len(raw) - line.end() <= _MEMO_BYTES and b"upgrade" not in head.fields.joined:
            REQUESTS_BY_FIELDS.put(raw[line.end() :], head)


class ResponseReader(_Reader[ResponseHead]):
    """Reads response heads, one at a time."""

    def __init__(self) -> None:
        super().__init__(RESPONSE_HEADS)

    @override
    def _make_parser(self) -> HttpResponseParser:
        return HttpResponseParser(self)

    @override
    def _make_head(self) -> ResponseHead:
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
    """(host, target in origin form). An authority in the target overrides Host (RFC 9112, section 3.2.2)."""
    host = fields.joined.get(b"host")
    if host is None or b"host" in fields.repeated:
        raise BadMessageError(400, "A request needs exactly one Host header.")
    if not HOST.fullmatch(host):
        raise BadMessageError(400, "The Host header is malformed.")
    if method == b"CONNECT":
        raise BadMessageError(400, "This is no proxy for tunnels. Send requests with a path as their target.")
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        absolute = _ABSOLUTE_FORM.fullmatch(target)
        if absolute is None:
            raise BadMessageError(400, "The request target must be a path.")
        host, path = absolute[1], absolute[2]
        if not HOST.fullmatch(host):
            raise BadMessageError(400, "The authority of the request target is malformed.")
        if not path.startswith(b"/"):
            path = b"*" if method == b"OPTIONS" and not path else b"/" + path
        target = path
    if b"#" in target:
        raise BadMessageError(400, "The request target must not have a fragment.")
    return host, target

"""What is fuzzed: each target takes any bytes, and raises when the data plane does something wrong with them."""

from collections.abc import Callable

import h11
import uvloop

from sandbox_gateway.proxy.framing import Body, ChunkedBody, request_body, response_body
from sandbox_gateway.proxy.head import BadMessageError, RequestHead, RequestReader, ResponseReader, recall_request
from sandbox_gateway.proxy.headers import client_head, upstream_head
from unit.sandbox_gateway.proxy.oracle import OTHER, Steps, judge, perform, read_requests, read_responses
from unit.sandbox_gateway.proxy.support import REQUEST

_REFUSED = "refused"
"""With which status, may depend on how much had come."""
_loop = uvloop.new_event_loop()


def request_heads(data: bytes) -> None:
    """Recalled, read in one piece and byte by byte; what is forwarded must be one request to another parser."""
    recalled = recall_request(data)
    read = _request(data, len(data))
    assert read == _request(data, 1)
    if recalled is not None:
        assert _forwarded(*recalled) == read


def response_heads(data: bytes) -> None:
    """The same of responses."""
    assert _response(data, len(data)) == _response(data, len(data)) == _response(data, 1)


def chunks(data: bytes) -> None:
    """Cut or not, the same passes; and another parser finds the same content in it."""
    whole, cut, decoded = ChunkedBody(), ChunkedBody(), ChunkedBody(decode=True)
    result = _passed(whole, data, len(data))
    content = _passed(decoded, data, len(data))
    assert _passed(cut, data, 1) == result or result is None
    assert (result is None) == (content is None)
    assert (whole.done, decoded.done) == (cut.done, whole.done) or result is None
    if result is None or content is None:
        return
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    reader.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + result[0])
    found = b""
    while (event := reader.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Data):
            found += event.data
        if isinstance(event, h11.EndOfMessage):
            break
    assert found == content[0]
    assert isinstance(event, h11.EndOfMessage) == whole.done


def exchanges(data: bytes) -> None:
    """Everything between a client and its sandbox. The bytes are read as `decode` says."""
    steps = decode(data)
    judge(steps, *_loop.run_until_complete(perform(steps)))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "request-heads": request_heads,
    "response-heads": response_heads,
    "chunks": chunks,
    "exchanges": exchanges,
}


_SEPARATOR = b"\xfe\xfe"
_ACTORS = {b"C": "client", b"U": "upstream"} | {b"%d" % number: name for number, name in enumerate(OTHER)}


def decode(data: bytes) -> Steps:
    """Steps, divided by two bytes that no message needs. The first byte of each says who acts."""
    parts = data.split(_SEPARATOR)[:12]
    return [(_ACTORS[part[:1]], part[1:]) for part in parts if part[:1] in _ACTORS]


def encode(steps: Steps) -> bytes:
    """The reverse of `decode`."""
    actors = {name: actor for actor, name in _ACTORS.items()}
    return _SEPARATOR.join(actors[name] + data for name, data in steps)


def _request(data: bytes, size: int) -> object:
    reader = RequestReader()
    for at in range(0, len(data), size or 1):
        try:
            rest = reader.feed(data[at : at + size])
            if rest is None:
                continue
            head = reader.head()
        except BadMessageError:
            return _REFUSED
        return _forwarded(head, rest + data[at + size :])
    return None


def _forwarded(head: RequestHead, rest: bytes) -> object:
    try:
        request_body(head)
    except BadMessageError:
        return _REFUSED
    forwarded = upstream_head(head, "127.0.0.1", False, False)
    read_requests(forwarded)
    assert forwarded.count(b"\r\n\r\n") == 1
    return (forwarded, head.keep_alive, head.websocket, rest)


def _response(data: bytes, size: int) -> object:
    asked = RequestReader()
    asked.feed(REQUEST)
    reader, request = ResponseReader(), asked.head()
    for at in range(0, len(data), size or 1):
        try:
            rest = reader.feed(data[at : at + size])
            if rest is None:
                continue
            head = reader.head()
            body = response_body(head, request)
        except BadMessageError:
            return _REFUSED
        answer = client_head(head, isinstance(body, ChunkedBody), True)
        assert answer.count(b"\r\n\r\n") == 1
        if head.status != 101:
            read_responses(answer)
        return (answer, head.keep_alive, type(body), rest + data[at + size :])
    return None


def _passed(body: Body, data: bytes, size: int) -> tuple[bytes, bytes] | None:
    forwarded = b""
    for at in range(0, len(data), size or 1):
        try:
            forward, rest = body.feed(data[at : at + size])
        except BadMessageError:
            return None
        forwarded += forward
        if body.done:
            return forwarded, rest + data[at + size :]
    return forwarded, b""

"""Heads: what is read from good ones, and that bad ones are refused, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.head import BadMessageError, RequestHead, RequestReader, ResponseReader
from unit.sandbox_gateway.proxy.refusals import REFUSED_HEADS


def read(data: bytes) -> tuple[RequestHead, bytes]:
    reader = RequestReader()
    rest = reader.feed(data)
    assert rest is not None
    return reader.head(), rest


def test_a_head_is_read_as_sent() -> None:
    head, rest = read(b"POST /a%2Fb/../c?d=%20&e HTTP/1.1\r\nHost: Sandbox.Example:80\r\nX-Odd:  v  \t\r\n\r\nbody")
    assert (head.method, head.target, head.host) == (b"POST", b"/a%2Fb/../c?d=%20&e", b"Sandbox.Example:80")
    assert head.fields.lines[1] == (b"x-odd", b"X-Odd", b"v")
    assert rest == b"body"
    assert head.keep_alive
    assert not head.websocket


@pytest.mark.parametrize(
    ("target", "host", "forwarded"),
    [
        (b"http://b.example/x?y", b"b.example", b"/x?y"),
        (b"HTTP://b.example:8000", b"b.example:8000", b"/"),
        (b"https://b.example?y", b"b.example", b"/?y"),
    ],
)
def test_an_authority_in_the_target_outranks_host(target: bytes, host: bytes, forwarded: bytes) -> None:
    head, _ = read(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert (head.host, head.target) == (host, forwarded)


@pytest.mark.parametrize(
    ("connection", "upgrade", "version", "expected"),
    [
        (b"Upgrade", b"websocket", b"1.1", True),
        (b"keep-alive, UPGRADE", b"WebSocket", b"1.1", True),
        (b"keep-alive", b"websocket", b"1.1", False),
        (b"Upgrade", b"h2c", b"1.1", False),
        (b"Upgrade", b"websocket", b"1.0", False),
    ],
)
def test_what_a_websocket_handshake_is(connection: bytes, upgrade: bytes, version: bytes, expected: bool) -> None:
    head, _ = read(
        b"GET / HTTP/%b\r\nHost: a\r\nConnection: %b\r\nUpgrade: %b\r\n\r\n" % (version, connection, upgrade)
    )
    assert head.websocket is expected


def test_a_long_request_line_passes() -> None:
    head, _ = read(b"GET /sessions/batch?%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"ids=0123456789&" * 1100))
    assert len(head.target) > 16 * 1024


def test_an_empty_line_before_a_request_is_skipped() -> None:
    head, rest = read(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nx")
    assert (head.target, rest) == (b"/", b"x")


def status_of(pieces: list[bytes]) -> int:
    reader = RequestReader()
    try:
        for piece in pieces:
            if reader.feed(piece) is not None:
                reader.head()
    except BadMessageError as error:
        return error.status
    return 0


@pytest.mark.parametrize(("status", "data"), REFUSED_HEADS.values(), ids=REFUSED_HEADS)
def test_bad_heads_are_refused(status: int, data: bytes) -> None:
    assert status_of([data]) == status
    for cut in range(1, min(len(data), 200)):
        assert status_of([data[:cut], data[cut:]]) == status


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_the_outcome_does_not_depend_on_the_cuts(tail: bytes, cuts: list[int]) -> None:
    data = b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + tail + b"\r\n\r\nbody"

    def outcome(pieces: list[bytes]) -> object:
        reader, behind = RequestReader(), b""
        complete = False
        try:
            for piece in pieces:
                if complete:
                    behind += piece
                elif (rest := reader.feed(piece)) is not None:
                    complete, behind = True, rest
            return (reader.head(), behind) if complete else None
        except BadMessageError as error:
            return error.status

    places = [0, *sorted(cuts), len(data)]
    assert outcome([data[a:b] for a, b in pairwise(places)]) == outcome([data])


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"garbage\r\n\r\n",
    ],
)
def test_bad_response_heads_are_refused(data: bytes) -> None:
    reader = ResponseReader()

    def read_it() -> None:
        assert reader.feed(data) is not None
        reader.head()

    with pytest.raises(BadMessageError):
        read_it()


def test_a_response_head_is_read() -> None:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 404 Not  here\r\nConnection: close\r\n\r\nrest") == b"rest"
    head = reader.head()
    assert (head.status, head.reason, head.keep_alive, head.http_1_0) == (404, b"Not  here", False, False)

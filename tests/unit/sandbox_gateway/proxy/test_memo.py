"""What is remembered of heads: the same as what is read, and no more than there is room for."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling
from sandbox_gateway.proxy.head import (
    REQUEST_HEADS,
    RESPONSE_HEADS,
    BadMessageError,
    RequestReader,
    ResponseReader,
    recall,
    recall_request,
)
from sandbox_gateway.proxy.memo import SECONDS, Memo
from unit.sandbox_gateway.proxy.exchanges import EXCHANGES
from unit.sandbox_gateway.proxy.refusals import REFUSED_FRAMING, REFUSED_HEADS, framed_request

_HEADS = [
    *(exchange.sent for exchange in EXCHANGES.values()),
    *(answer for exchange in EXCHANGES.values() for _, answer in exchange.steps),
    *(data for _, data in REFUSED_HEADS.values() if len(data) < 1000),
    *(framed_request(fields) for _, fields in REFUSED_FRAMING.values()),
]


def by_bytes(reader: RequestReader | ResponseReader, data: bytes) -> object:
    """What is read byte by byte: (the head, the bytes behind it), the status of the refusal, or None."""
    try:
        for i in range(len(data)):
            if reader.feed(data[i : i + 1]) is not None:
                return reader.head(), data[i + 1 :]
    except BadMessageError as error:
        return error.status
    return None


@settings(max_examples=sampling.count(130, 400))
@given(
    st.sampled_from(_HEADS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(max_size=3)), max_size=3),
    st.booleans(),
)
def test_what_is_remembered_is_what_is_read(
    data: bytes, changes: list[tuple[int, int, bytes]], of_requests: bool
) -> None:
    for at, removed, put in changes:
        data = data[:at] + put + data[at + removed :]

    def remembered() -> object:
        return recall_request(data) if of_requests else recall(RESPONSE_HEADS, data)

    before = remembered()
    read = by_bytes(RequestReader() if of_requests else ResponseReader(), data)
    if before is not None:
        assert before == read
    assert remembered() == (read if isinstance(read, tuple) else None)


_FIELDS = [
    b"Host: a\r\n\r\n",
    b"Host: a\r\nConnection: close\r\n\r\n",
    b"Host: a\r\nContent-Length: 5\r\n\r\n",
    b"Host: a\r\nTransfer-Encoding: chunked\r\nX-Session-API-Key: k\r\n\r\n",
    b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
    b"Host: a\r\nExpect: 100-continue\r\n\r\n",
]


@pytest.mark.parametrize("fields", _FIELDS)
@pytest.mark.parametrize(
    "method", [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"]
)
@pytest.mark.parametrize(
    "form", [b"%b /%b HTTP/1.1\r\n", b"%b /a%b?b HTTP/1.1\r\n", b"%b %b HTTP/1.1\r\n", b"%b /%b HTTP/1.0\r\n"]
)
def test_known_fields_behind_another_request_line(fields: bytes, method: bytes, form: bytes) -> None:
    known = b"GET / HTTP/1.1\r\n" + fields
    for byte in range(256):
        assert by_bytes(RequestReader(), known)
        data = form % (method, bytes([byte])) + fields
        found = recall_request(data + b"rest")
        if found is not None:
            head, rest = found
            assert rest == b"rest"
            assert (head, b"") == by_bytes(RequestReader(), data)


def test_known_fields_are_not_read_again() -> None:
    fields = b"Host: only-here\r\nX: y\r\n\r\n"
    assert recall_request(b"GET /first HTTP/1.1\r\n" + fields) is None
    assert by_bytes(RequestReader(), b"GET /first HTTP/1.1\r\n" + fields)
    for method, target in ((b"POST", b"/second?a=b"), (b"GET", b"/" + b"x" * 3000)):
        found = recall_request(method + b" " + target + b" HTTP/1.1\r\n" + fields)
        assert found is not None
        assert (found[0].method, found[0].target, found[0].host) == (method, target, b"only-here")


def test_a_request_line_may_not_make_a_head_too_large() -> None:
    fields = b"Host: only-here-too\r\n\r\n"
    assert by_bytes(RequestReader(), b"GET / HTTP/1.1\r\n" + fields)
    assert recall_request(b"GET /" + b"x" * 65536 + b" HTTP/1.1\r\n" + fields) is None


def test_a_head_that_comes_again_is_not_read_again() -> None:
    data = b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n"
    assert recall(REQUEST_HEADS, data) is None
    reader = RequestReader()
    assert reader.feed(data) == b""
    head = reader.head()
    found = recall(REQUEST_HEADS, data + b"rest")
    assert found is not None
    assert found[0] is head
    assert found[1] == b"rest"
    assert recall(REQUEST_HEADS, data[:-1]) is None


@given(st.lists(st.integers(0, 200), max_size=6))
def test_one_reader_reads_one_head_after_the_other(cuts: list[int]) -> None:
    sent = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in (1, 2, 1, 3)]
    data = b"".join(sent)
    reader, targets = RequestReader(), list[bytes]()
    for a, b in pairwise([0, *sorted(cuts), len(data)]):
        pending = data[a:b]
        while pending and (rest := reader.feed(pending)) is not None:
            targets.append(reader.head().target)
            pending = rest
    assert targets == [b"/1", b"/2", b"/1", b"/3"]
    assert not reader.started


@pytest.mark.parametrize("fields", [b"X: %b\r\n" % (b"a" * 2048), b"X: a\r\n" * 32], ids=["long", "many fields"])
def test_a_large_head_is_not_remembered(fields: bytes) -> None:
    reader = RequestReader()
    data = b"GET /large HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    assert reader.feed(data) == b""
    assert reader.head().target == b"/large"
    assert recall(REQUEST_HEADS, data) is None


def test_too_many_make_room() -> None:
    memo = Memo[int](3)
    for i in range(10):
        memo.put(b"%d" % i, i)
        assert memo.get(b"%d" % i) == i
        assert len(memo) <= 3


def test_what_is_old_makes_room() -> None:
    now = 0.0
    memo = Memo[int](clock=lambda: now)
    for minute in range(3):
        for i in range(10):
            now = minute * SECONDS + i
            memo.put(b"%d" % (minute * 10 + i), i)
        assert len(memo) == 10

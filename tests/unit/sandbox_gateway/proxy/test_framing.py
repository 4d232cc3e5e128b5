"""Where bodies end, and that what passes does not depend on how the bytes came."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.framing import Body, ChunkedBody, FixedBody, UntilCloseBody, request_body, response_body
from sandbox_gateway.proxy.head import BadMessageError, RequestHead, RequestReader, ResponseHead, ResponseReader
from unit.sandbox_gateway.proxy.refusals import REFUSED_CHUNKS, REFUSED_FRAMING, framed_request


def request(fields: bytes = b"", method: bytes = b"POST", version: bytes = b"1.1") -> RequestHead:
    reader = RequestReader()
    reader.feed(b"%b / HTTP/%b\r\nHost: a\r\n%b\r\n" % (method, version, fields))
    return reader.head()


def response(status: bytes, fields: bytes = b"", version: bytes = b"1.1") -> ResponseHead:
    reader = ResponseReader()
    reader.feed(b"HTTP/%b %b X\r\n%b\r\n" % (version, status, fields))
    return reader.head()


def feed(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes]:
    forwarded, rest = b"", b""
    for piece in pieces:
        if body.done:
            rest += piece
            continue
        out, rest = body.feed(piece)
        forwarded += out
    return forwarded, rest


@pytest.mark.parametrize(("status", "fields"), REFUSED_FRAMING.values(), ids=REFUSED_FRAMING)
def test_bad_framing_of_requests_is_refused(status: int, fields: bytes) -> None:
    reader = RequestReader()

    def read_it() -> None:
        assert reader.feed(framed_request(fields)) is not None
        request_body(reader.head())

    with pytest.raises(BadMessageError) as caught:
        read_it()
    assert caught.value.status == status


def test_http_1_0_has_no_transfer_encoding() -> None:
    with pytest.raises(BadMessageError):
        request_body(request(b"Transfer-Encoding: chunked\r\n", version=b"1.0"))


def test_requests_without_framing_fields_have_no_body() -> None:
    assert request_body(request()).done


@pytest.mark.parametrize(
    ("method", "status", "fields", "kind", "done"),
    [
        (b"GET", b"200", b"Content-Length: 5\r\n", FixedBody, False),
        (b"GET", b"200", b"Content-Length: 0\r\n", FixedBody, True),
        (b"GET", b"200", b"Transfer-Encoding: chunked\r\n", ChunkedBody, False),
        (b"GET", b"200", b"", UntilCloseBody, False),
        (b"HEAD", b"200", b"Content-Length: 5\r\n", FixedBody, True),
        (b"HEAD", b"200", b"Transfer-Encoding: chunked\r\n", FixedBody, True),
        (b"GET", b"204", b"", FixedBody, True),
        (b"GET", b"304", b"Content-Length: 5\r\n", FixedBody, True),
    ],
)
def test_framing_of_responses(method: bytes, status: bytes, fields: bytes, kind: type[Body], done: bool) -> None:
    body = response_body(response(status, fields), request=request(method=method))
    assert isinstance(body, kind)
    assert body.done is done


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        (b"Transfer-Encoding: gzip\r\n", b"1.1"),
        (b"Transfer-Encoding: gzip, chunked\r\n", b"1.1"),
        (b"Transfer-Encoding: chunked\r\n", b"1.0"),
    ],
)
def test_bad_framing_of_responses_is_refused(fields: bytes, version: bytes) -> None:
    with pytest.raises(BadMessageError):
        response_body(response(b"200", fields, version), request=request())


@given(st.integers(0, 20), st.binary(max_size=40), st.integers(0, 40))
def test_a_fixed_body_ends_at_its_length(length: int, data: bytes, cut: int) -> None:
    body = FixedBody(length)
    assert feed(body, [data[:cut], data[cut:]]) == (data[:length], data[length:])
    assert body.done is (len(data) >= length)


CHUNKED = {
    b"0\r\n\r\n": (b"0\r\n\r\n", b""),
    b"5\r\nhello\r\n0\r\n\r\n": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    b"8;x=\"y\"\r\n\r\n\r\n\r\n\r\n\r\n00\r\n\r\n": (b"8;x=\"y\"\r\n\r\n\r\n\r\n\r\n\r\n00\r\n\r\n", b"\r\n" * 4),
    b"1\r\na\r\n0\r\nX-Sum: 1\r\nX-API-Key: no\r\nContent-Length: 3\r\nX-Forwarded-For: b\r\nY:\r\n\r\n": (
        b"1\r\na\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n",
        b"a",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "raw", "decoded"), [(sent, *out) for sent, out in CHUNKED.items()])
def test_chunked_bodies_pass_however_they_are_cut(sent: bytes, raw: bytes, decoded: bytes) -> None:
    for decode, expected in ((False, raw), (True, decoded)):
        for cut in range(len(sent) + 1):
            body = ChunkedBody(decode=decode)
            assert feed(body, [sent[:cut], sent[cut:], b"next"]) == (expected, b"next")
        body = ChunkedBody(decode=decode)
        assert feed(body, [sent[i : i + 1] for i in range(len(sent))]) == (expected, b"")
        assert body.done


@pytest.mark.parametrize("data", REFUSED_CHUNKS.values(), ids=REFUSED_CHUNKS)
def test_bad_chunks_are_refused(data: bytes) -> None:
    for cut in (0, *range(1, min(len(data), 40))):
        with pytest.raises(BadMessageError):
            feed(ChunkedBody(), [data[:cut], data[cut:]])


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=6), st.lists(st.integers(0, 200), max_size=6))
def test_chunked_bodies_of_any_content(chunks: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    places = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    pieces = [sent[a:b] for a, b in pairwise(places)]
    assert feed(ChunkedBody(), pieces) == (sent, b"")
    assert feed(ChunkedBody(decode=True), pieces) == (b"".join(chunks), b"")

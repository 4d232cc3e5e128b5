"""What is remembered of heads: the same as what is read, and no more than there is room for."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_gateway.proxy.head import BadMessageError, RequestHead, RequestReader, ResponseHead, ResponseReader
from sandbox_gateway.proxy.memo import Memo
from unit.sandbox_gateway.proxy.exchanges import EXCHANGES
from unit.sandbox_gateway.proxy.refusals import REFUSED_FRAMING, REFUSED_HEADS, framed_request

_HEADS = [
    *(exchange.sent for exchange in EXCHANGES.values()),
    *(answer for exchange in EXCHANGES.values() for _, answer in exchange.steps),
    *(data for _, data in REFUSED_HEADS.values() if len(data) < 1000),
    *(framed_request(fields) for _, fields in REFUSED_FRAMING.values()),
]


def outcome(reader: RequestReader | ResponseReader, pieces: list[bytes]) -> object:
    """What has been read: the head, and the bytes behind it; or the status of the refusal; or None."""
    behind, head = b"", None
    try:
        for piece in pieces:
            if head is not None:
                behind += piece
            elif (rest := reader.feed(piece)) is not None:
                head, behind = reader.head(), rest
    except BadMessageError as error:
        return error.status
    return None if head is None else (read(head), behind)


def read(head: RequestHead | ResponseHead) -> object:
    """All that has been read of a head, without what was made of it later."""
    fields = dataclasses.replace(head.fields, framing=None)
    return dataclasses.asdict(dataclasses.replace(head, fields=fields, rewritten={}))


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(_HEADS),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), st.binary(max_size=3)), max_size=3),
    st.sampled_from([RequestReader, ResponseReader]),
)
def test_what_is_remembered_is_what_is_read(
    data: bytes, changes: list[tuple[int, int, bytes]], make: type[RequestReader | ResponseReader]
) -> None:
    for at, removed, put in changes:
        data = data[:at] + put + data[at + removed :]
    by_bytes = outcome(make(), [data[i : i + 1] for i in range(len(data))])  # never looked up
    assert outcome(make(), [data]) == by_bytes
    assert outcome(make(), [data]) == by_bytes


def test_a_head_that_comes_again_is_not_read_again() -> None:
    reader = RequestReader()
    data = b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n"
    heads: list[RequestHead] = []
    for _ in range(2):
        assert reader.feed(data + b"rest") == b"rest"
        heads.append(reader.head())
    assert heads[0] is heads[1]


@settings(deadline=None)
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
def test_a_large_head_is_read_each_time(fields: bytes) -> None:
    reader = RequestReader()
    data = b"GET /large HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    heads: list[RequestHead] = []
    for _ in range(2):
        assert reader.feed(data) == b""
        heads.append(reader.head())
    assert heads[0] is not heads[1]


def test_the_oldest_makes_room() -> None:
    memo = Memo[int](3)
    for i in range(10):
        memo.put(b"%d" % i, i)
        memo.put(b"%d" % i, -i)
        assert len(memo) <= 3
    assert [memo.get(b"%d" % i) for i in range(10)] == [None] * 7 + [-7, -8, -9]

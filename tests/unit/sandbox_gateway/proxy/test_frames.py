"""Following the frames of a WebSocket server, whatever the portions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from sandbox_gateway.proxy.frames import Frames

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)
DATA = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
CONTROL = (Opcode.PING, Opcode.PONG)


def frame(opcode: Opcode, size: int, *, fin: bool = True, compressed: bool = False, mask: bool = False) -> bytes:
    whole = Frame(opcode, b"x" * size, fin=fin).serialize(mask=mask)
    return bytes([whole[0] | 0x40]) + whole[1:] if compressed else whole


frames = st.builds(
    frame, st.sampled_from(DATA), st.sampled_from(SIZES), fin=st.booleans(), compressed=st.booleans()
) | st.builds(frame, st.sampled_from(CONTROL), st.sampled_from((0, 1, 125)))


def portions(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in pairwise(places)]


@given(parts=st.lists(frames, min_size=1, max_size=6), cuts=st.lists(st.integers(0, 500_000), max_size=8))
def test_boundaries_are_where_frames_end(parts: list[bytes], cuts: list[int]) -> None:
    boundaries, at = {0}, 0
    for part in parts:
        at += len(part)
        boundaries.add(at)
    followed, position = Frames(), 0
    for portion in portions(b"".join(parts), cuts):
        if not followed.at_boundary:
            following = min(end for end in boundaries if end > position)
            expected = following - position if following <= position + len(portion) else None
            assert followed.until_boundary(portion) == expected
        followed.feed(portion)
        position += len(portion)
        assert followed.at_boundary == (position in boundaries)
    assert not followed.closing
    assert not followed.lost


@pytest.mark.parametrize("size", [*SIZES, 16 * 1024 * 1024])
def test_byte_by_byte_through_each_form_of_the_length(size: int) -> None:
    whole = frame(Opcode.BINARY, size)
    header = len(whole) - size
    followed = Frames()
    for at in range(header):
        assert followed.at_boundary == (at == 0)
        followed.feed(whole[at : at + 1])
    assert followed.at_boundary == (size == 0)
    followed.feed(whole[header:])
    assert followed.at_boundary


def test_a_close_frame_is_seen_at_its_beginning() -> None:
    followed = Frames()
    close = frame(Opcode.CLOSE, 10)
    followed.feed(frame(Opcode.TEXT, 3) + close[:1])
    assert not followed.closing
    followed.feed(close[1:2])
    assert followed.closing
    assert not followed.at_boundary


@pytest.mark.parametrize("first", [*range(0x83, 0x88), *range(0x8B, 0x90)])
def test_reserved_opcodes_end_the_following(first: int) -> None:
    followed = Frames()
    followed.feed(frame(Opcode.TEXT, 3) + bytes([first, 0]))
    _is_lost(followed)


def test_masked_frames_end_the_following() -> None:
    followed = Frames()
    followed.feed(frame(Opcode.TEXT, 3, mask=True))
    _is_lost(followed)


def _is_lost(followed: Frames) -> None:
    assert followed.lost
    assert not followed.at_boundary
    followed.feed(frame(Opcode.TEXT, 3))
    assert followed.until_boundary(frame(Opcode.TEXT, 3)) is None
    assert not followed.at_boundary

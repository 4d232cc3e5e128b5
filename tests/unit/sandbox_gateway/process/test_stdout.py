"""Lines for a pipe that several threads and processes write to."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.process.stdout import pieces


@given(st.lists(st.binary(min_size=1, max_size=3000).map(lambda line: line + b"\n")))
def test_pieces_are_whole_lines_that_a_pipe_takes_at_once(lines: list[bytes]) -> None:
    got = list(pieces(lines))
    assert b"".join(got) == b"".join(lines)
    assert all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in got)
    assert all(len(one) + len(other) > 4096 for one, other in pairwise(got))

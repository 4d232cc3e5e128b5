"""Lines on standard output that several threads and processes write."""

import os
import sys
from collections.abc import Iterable, Iterator

WHOLE = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF). Longer writes may mix with those of other processes."""


def write_stdout(data: bytes) -> None:
    """Write all of it. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


def pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in order, as many together as may be written at once."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > WHOLE:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece

"""Lines on standard output that several threads and processes write."""

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import TextIOBase
from threading import BoundedSemaphore
from typing import override

from sandbox_gateway.process.metrics import DROPPED_LOG_LINES

WHOLE = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF). Longer writes may mix with those of other processes."""
LOG_QUEUE = 10_000
"""Lines of the process's own log that wait for the reader."""


class LogStream(TextIOBase):
    """A stream for the process's own log. It writes by calls of `write` in a thread, so a slow reader stops nothing.

    At the end of the process, the lines that wait are written. Lines that find no room are dropped, and counted.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._room = BoundedSemaphore(LOG_QUEUE)
        self._thread = ThreadPoolExecutor(1, "log")

    @override
    def write(self, text: str, /) -> int:
        """Write it soon, or drop it."""
        line = text.encode(errors="backslashreplace")
        if not self._room.acquire(blocking=False):
            DROPPED_LOG_LINES.inc()
            return len(text)
        try:
            self._thread.submit(self._write_one, line)
        except RuntimeError:  # the interpreter is about to end
            self._write_one(line)
        return len(text)

    def _write_one(self, line: bytes) -> None:
        try:
            self._write(line)
        except OSError:  # there is no reader
            DROPPED_LOG_LINES.inc()
        finally:
            self._room.release()


def write_stdout(data: bytes) -> None:
    """Write all of it. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]


def write_stdout_now(line: bytes) -> bool:
    """Write a line of at most WHOLE bytes, unless that would take time or standard output is no pipe.

    Returns whether it was written.
    """
    descriptor = sys.stdout.fileno()
    # Of other files, some would take a part of the line. Linux before 6.4 refuses the flag for pipes.
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return False
    try:
        return os.pwritev(descriptor, [line], -1, os.RWF_NOWAIT) == len(line)
    except OSError:
        return False


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

"""Lines for a pipe that several threads and processes write to, and that may have a slow reader."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from sandbox_gateway.process.stdout import LOG_QUEUE, WHOLE, LogStream, pieces, write_stdout, write_stdout_now


def dropped() -> float:
    return REGISTRY.get_sample_value("openhands_sandbox_gateway_log_dropped_total") or 0


def until(holds: Callable[[], bool]) -> None:
    end = monotonic() + 10
    while not holds():
        assert monotonic() < end
        sleep(0.01)


@given(st.lists(st.binary(min_size=1, max_size=3000).map(lambda line: line + b"\n")))
def test_pieces_are_whole_lines_that_a_pipe_takes_at_once(lines: list[bytes]) -> None:
    got = list(pieces(lines))
    assert b"".join(got) == b"".join(lines)
    assert all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in got)
    assert all(len(one) + len(other) > 4096 for one, other in pairwise(got))


def test_a_slow_reader_stops_nothing_and_what_finds_no_room_is_counted() -> None:
    got: list[bytes] = []
    reads = threading.Event()

    def write(line: bytes) -> None:
        assert reads.wait(10)
        got.append(line)

    stream, before = LogStream(write), dropped()
    for number in range(LOG_QUEUE + 5):
        stream.write(f"{number}\n")
    assert dropped() - before == 5
    reads.set()
    until(lambda: len(got) == LOG_QUEUE)
    assert got == [b"%d\n" % number for number in range(LOG_QUEUE)]
    stream.write("there is room again")
    until(lambda: got[-1] == b"there is room again")


@contextmanager
def pipe(monkeypatch: pytest.MonkeyPatch) -> Generator[int]:
    """The end to read of a pipe that has room for 4,096 bytes and is standard output."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, WHOLE)
    with os.fdopen(writing, "w") as stream, monkeypatch.context() as patch:
        # Not in a fixture: before each test, pytest sets standard output itself.
        patch.setattr(sys, "stdout", stream)
        yield reading


def test_a_pipe_takes_a_whole_line_at_once_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = tuple(int(number) for number in os.uname().release.split(".")[:2])
    line = b"x" * (WHOLE - 1) + b"\n"
    with pipe(monkeypatch) as reading:
        assert write_stdout_now(line) is (kernel >= (6, 4))
        if kernel < (6, 4):
            write_stdout(line)
        assert not write_stdout_now(b"no room\n")
        assert os.read(reading, 2 * WHOLE) == line
        os.close(reading)
        assert not write_stdout_now(b"no reader\n")


def test_a_file_is_not_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    with path.open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert not write_stdout_now(b"line\n")
    assert path.read_bytes() == b""


def test_what_cannot_be_written_is_counted() -> None:
    def write(line: bytes) -> None:
        raise BrokenPipeError(line)

    stream, before = LogStream(write), dropped()
    stream.write("\ud800")
    until(lambda: dropped() - before == 1)


def test_the_last_words_of_a_process_are_written() -> None:
    program = """
import atexit, sys
from sandbox_gateway.process.stdout import LogStream, write_stdout
stream = LogStream(write_stdout)
atexit.register(stream.write, "at the very end")
for number in range(1000):
    stream.write(f"{number}\\n")
sys.exit(1)
"""
    ended = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stdout.split("\n") == [*map(str, range(1000)), "at the very end"]

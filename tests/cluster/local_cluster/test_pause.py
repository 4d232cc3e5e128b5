"""The program that is process 1 of every sandbox pod, since they share their process namespace."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_cluster import build
from local_cluster.processes import Process
from local_cluster.progress import Progress


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def eventually(count: int, pid: int) -> None:
    deadline = time.monotonic() + 30
    while len(children(pid)) != count:
        assert time.monotonic() < deadline, f"{children(pid)} are not {count}"
        time.sleep(0.02)


@pytest.fixture
def pause() -> Iterator[int]:
    """The pid of pause as process 1 of a process namespace."""
    build.ensure(["pause"], Progress())
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", build.binary("pause")]) as starter:
        eventually(1, starter.pid)
        (pid,) = children(starter.pid)
        while Path(f"/proc/{pid}/comm").read_text() != "pause\n":
            time.sleep(0.02)
        yield pid
        starter.kill()


def test_orphans_are_reaped(pause: int) -> None:
    # The shells end at once; their children go to process 1, and end there while it holds them.
    orphans = "for n in 1 2 3 4 5; do (sleep 1 & sleep 600 &) ; done"
    subprocess.run(["nsenter", f"--target={pause}", "--pid", "sh", "-c", orphans], check=True)
    eventually(10, pause)
    eventually(5, pause)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_to(pause: int, number: signal.Signals) -> None:
    process = Process.of(pause)
    assert process is not None
    deadline = time.monotonic() + 30
    while process.alive():
        assert time.monotonic() < deadline
        process.signal(number)  # again and again, since a first one may come before the program listens
        time.sleep(0.02)

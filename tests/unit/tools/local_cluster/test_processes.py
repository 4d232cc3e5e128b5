import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cluster.processes import Process, end, parse_stat, running, wait_gone

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as started:
        yield started
        started.kill()


def process_of(child: subprocess.Popen[bytes]) -> Process:
    process = Process.of(child.pid)
    assert process is not None
    return process


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=16))
def test_a_command_name_of_any_shape_does_not_shift_the_fields(name: str) -> None:
    assert parse_stat(f"4711 ({name}) S 1 2 3")[:4] == ["S", "1", "2", "3"]


def test_a_pid_that_another_process_has_now_is_never_signalled(child: subprocess.Popen[bytes]) -> None:
    former = replace(process_of(child), started="another boot:1")
    assert not former.alive()
    former.signal(signal.SIGKILL)
    assert end([former]) == []
    assert child.poll() is None


def test_a_dead_child_that_nobody_reaped_counts_as_gone(child: subprocess.Popen[bytes]) -> None:
    process = process_of(child)
    assert end([process]) == []
    assert not process.alive()
    assert Process.of(child.pid) is None


def test_a_process_may_end_in_its_own_time(child: subprocess.Popen[bytes]) -> None:
    assert end([process_of(child)], grace=30) == []
    assert child.wait() == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        assert end([process_of(stubborn)], grace=0.1) == []
        assert stubborn.wait() == -signal.SIGKILL


def test_waiting_gives_back_those_that_stay(child: subprocess.Popen[bytes]) -> None:
    process = process_of(child)
    assert wait_gone([process], timeout=0) == [process]


def test_the_machines_processes_have_this_child_among_them(child: subprocess.Popen[bytes]) -> None:
    assert process_of(child) in {process for process, _ in running()}

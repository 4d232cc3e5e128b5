"""What a killed run leaves behind is ended and removed by the next one."""

import subprocess
import sys

from cluster.local_cluster.machine import Machine
from local_cluster.processes import Process

NAME = "ohs-machine-test"
KILLED = f"""
from cluster.local_cluster.machine import Machine
import os, signal
machine = Machine({NAME!r})
machine.state.mkdir()
print(machine.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!").stdout, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_nothing_in_the_way_of_the_next() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], env={}, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -9, killed.stderr
    left = Process.of(int(killed.stdout))
    assert left is not None
    machine = Machine(NAME)
    try:
        assert not left.alive()
        assert not machine.state.exists()
        assert not machine.processes()
    finally:
        machine.close()

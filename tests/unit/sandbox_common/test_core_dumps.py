"""Processes that hold keys leave no core dump."""

import subprocess
import sys

import pytest

_CHILD = "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE))"


def test_the_process_and_its_children_may_write_none() -> None:
    program = f"""
import subprocess, sys
from sandbox_common import core_dumps
core_dumps.forbid()
print(subprocess.run([sys.executable, "-c", {_CHILD!r}], capture_output=True, text=True, check=True).stdout)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.split() == ["0", "0"]


@pytest.mark.parametrize("command", ["sandbox_gateway.main", "sandbox_operator.main"])
def test_both_commands_forbid_them_before_they_read_a_key(command: str) -> None:
    program = f"""
import sys
from pathlib import Path
from importlib import import_module
from sandbox_common.keys import MasterKeys
def load(directory):
    {_CHILD}
    sys.exit(0)
MasterKeys.load = load
sys.argv = ["x", "--namespace=n", "--master-key-dir=/"]
import_module({command!r}).main()
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert told.stdout.split() == ["0", "0"], told.stderr

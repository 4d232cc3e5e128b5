"""The Makefile's recipes, as far as they can be tried without carrying them out."""

import os
import re
import subprocess

import pytest

from local_cluster.paths import ROOT

_TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("target", _TARGETS)
def test_a_shell_can_read_what_a_target_does(target: str) -> None:
    # Not as part of the make that runs the tests.
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--dry-run", "--no-print-directory", target]
    recipe = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True).stdout
    read = subprocess.run(["bash", "-n"], input=recipe, capture_output=True, text=True)
    assert not read.returncode, read.stderr

"""What becomes of tests that fail in `make test`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local_cluster.paths import ROOT

ONLY_BESIDE_OTHERS = (
    "import os\ndef test_slow(): assert 'AGAIN' in os.environ\ndef test_other(): assert 'AGAIN' not in os.environ\n"
)


@pytest.mark.parametrize(
    ("tests", "line", "status"),
    [
        (ONLY_BESIDE_OTHERS, "    test-it              passed* ", 0),
        ("def test_one(): assert 0\n", "    test-it              FAILED ", 1),
        ("import nothing_of_this_name\n", "    test-it              FAILED ", 1),
        ("import os\ndef test_one(): os._exit(3)\n", "    test-it              FAILED ", 1),
        ("import os\n" + "".join(f"def test_{n}(): assert 'AGAIN' in os.environ\n" for n in range(21)), "FAILED ", 1),
    ],
)
def test_what_failed_is_tried_once_more(tmp_path: Path, tests: str, line: str, status: int) -> None:
    (tmp_path / "tools").mkdir()
    for tool in ("run-tiers", "run-pytest"):
        shutil.copy(ROOT / "tools" / tool, tmp_path / "tools")
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    (tmp_path / "Makefile").write_text("test-it:\n\t@tools/run-pytest it 0 test_it.py\n")
    (tmp_path / "test_it.py").write_text(tests)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST", "AGAIN"))}
    own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}  # all of them take seconds
    done = subprocess.run([tmp_path / "tools/run-tiers", "test-it"], env=own, capture_output=True, text=True)
    assert line in done.stdout, done.stdout + done.stderr
    assert done.returncode == status
    if "*" in line:
        assert "    * At the second attempt, after:\n    FAILED test_it.py::test_slow - " in done.stdout

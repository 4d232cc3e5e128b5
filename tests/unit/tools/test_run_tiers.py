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
        (
            "import pytest, os\n@pytest.fixture\ndef all_is_well():\n    yield\n    assert 'AGAIN' in os.environ\n"
            "def test_one(all_is_well): pass\n",
            "    test-it              FAILED ",
            1,
        ),
        ("import os\n" + "".join(f"def test_{n}(): assert 'AGAIN' in os.environ\n" for n in range(21)), "FAILED ", 1),
    ],
)
def test_what_failed_is_tried_once_more(tmp_path: Path, tests: str, line: str, status: int) -> None:
    _copy_tools(tmp_path)
    (tmp_path / "Makefile").write_text("test-it:\n\t@tools/run-pytest it 0 test_it.py\n")
    (tmp_path / "test_it.py").write_text(tests)
    done = _run_tiers(tmp_path)
    assert line in done.stdout, done.stdout + done.stderr
    assert done.returncode == status
    if "*" in line:
        assert "    * At the second attempt, after:\n    FAILED test_it.py::test_slow - " in done.stdout


def test_what_could_not_be_built_at_first_is_no_second_attempt(tmp_path: Path) -> None:
    _copy_tools(tmp_path)
    build = "@test -e built || { touch built; false; }"
    (tmp_path / "Makefile").write_text(f"test-it:\n\t{build}\n\t@tools/run-pytest it 0 test_it.py\n")
    (tmp_path / "test_it.py").write_text("def test_one(): pass\n")
    (tmp_path / "build/pytest/it").mkdir(parents=True)
    (tmp_path / "build/pytest/it/status").write_text("0\n")
    assert _run_tiers(tmp_path).returncode == 1


def _copy_tools(place: Path) -> None:
    (place / "tools").mkdir()
    for tool in ("run-tiers", "run-pytest"):
        shutil.copy(ROOT / "tools" / tool, place / "tools")
    (place / ".venv").symlink_to(Path(sys.prefix))


def _run_tiers(place: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST", "AGAIN"))}
    own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}  # all of them take seconds
    return subprocess.run([place / "tools/run-tiers", "test-it"], env=own, capture_output=True, text=True)

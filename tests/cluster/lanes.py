"""Two lanes on one cluster: `--numprocesses=2` of pytest-xdist runs each in a process of its own.

A lane installs its releases in namespaces of its own. The first one brings the cluster up and down, records the run and
looks back at both; so the second begins when the record does, and its releases stay until the first has looked.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

SECOND = frozenset(
    {
        *("test_app.py", "test_conformance.py", "test_console.py", "test_gvisor.py", "test_idle.py"),
        "test_pause_resume.py",
        *("test_sdk_example.py", "test_sdk_scenarios.py", "test_services.py", "test_workspace.py"),
        *("test_lifecycle.py", "test_machine.py", "test_network.py", "test_pause.py"),
    }
)
"""Files of the second lane: those with the persistent release and the one in host mode, and other machines."""

RECORDED, SECOND_DONE, FIRST_DONE, SECOND_GONE = "recorded", "second-done", "first-done", "second-gone"
_LONGEST_SECONDS = 2700.0
_LOOK_SECONDS = 0.2


def is_second(path: Path) -> bool:
    """Whether this file of tests is in the second lane."""
    return path.name in SECOND


class Lanewise(LoadScopeScheduling):
    """Each lane is dealt out as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return "second" if is_second(Path(nodeid.partition("::")[0])) else "first"


class Lanes:
    """This process's lane, and what the lanes say to each other, as files of a directory."""

    def __init__(self, directory: Path) -> None:
        self.are_two = False
        """Whether there is another lane."""
        self.second = False
        """Whether this is the second one of two."""
        self._directory = directory

    def collected(self, files: Iterable[Path]) -> None:
        """These files are run, here and in the other worker if there is one."""
        self.are_two = "PYTEST_XDIST_WORKER" in os.environ and len(set(map(is_second, files))) == 2

    def turn_to(self, file: Path) -> None:
        """A test of this file is next: the lane of a process is that of its tests."""
        self.second = self.are_two and is_second(file)

    def say(self, what: str, text: str = "") -> None:
        """Say it to the other lane."""
        if self.are_two:
            if (self._directory / what).exists():
                return
            half = self._directory / f"{what}.half"
            half.write_text(text)
            half.rename(self._directory / what)

    def hear(self, what: str) -> str:
        """What the other lane says with it, once it does; "" without one. Fails after 45 minutes."""
        if not self.are_two:
            return ""
        said, deadline = self._directory / what, time.monotonic() + _LONGEST_SECONDS
        while not said.exists():
            if time.monotonic() > deadline:
                pytest.fail(f"the other lane does not say {what!r}")
            time.sleep(_LOOK_SECONDS)
        return said.read_text()

    def arrive(self, failed: int) -> None:
        """This lane's last test has run, and what it has installed is still there."""
        if self.second:
            self.say(SECOND_DONE, str(failed))
            self.hear(FIRST_DONE)
        else:
            self.say(FIRST_DONE)

    def leave(self) -> None:
        """Nothing of this lane is left on the cluster. The other one need not wait, even if this one has failed."""
        for what in (SECOND_DONE, SECOND_GONE) if self.second else (RECORDED, FIRST_DONE):
            self.say(what)

"""The suite's pytest plugin: the weight, the order and the outcome of each test."""

import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from conformance.contract import SECTIONS, Blocked, Client, Weight
from conformance.report import Outcome, Report, Result
from conformance.target import SECRETS, TARGET, Secrets, Target

LATE_FIXTURES = ("minute", "unpullable", "second_pause", "pause", "resume", "stop", "everything")
"""These fixtures change state only once, after all tests that need the state before. So their tests run last, in this
order."""
REPORT = pytest.StashKey[Report]()
_WARNED = "warned"


class Plugin:
    """Runs against one target and fills one report."""

    def __init__(self, target: Target, report: Report) -> None:
        self._target = target
        self._report = report
        self._secrets = Secrets(target.api_key, target.other_api_key)
        self._started = time.monotonic()

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", "contract(weight, clients): what it means when the test does not hold")
        config.stash[TARGET] = self._target
        config.stash[SECRETS] = self._secrets
        config.stash[REPORT] = self._report

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            _contract(_function(item))
        items.sort(key=lambda item: _rank(_function(item)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.outcome == "failed":
            report.longrepr = self._secrets.hide(report.longreprtext)
            self._judge(_function(item), call, report)
        elif report.skipped:
            reason = cast("tuple[str, int, str]", report.longrepr)[2]
            self._record(_function(item), Outcome.NOT_RUN, report, reason.removeprefix("Skipped: "))
        elif report.when == "call":
            self._record(_function(item), Outcome.PASSED, report)
        return report

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        if _WARNED in dict(report.user_properties) and report.when == "call":
            return _WARNED, "w", "WARNED"
        return None

    def pytest_sessionfinish(self) -> None:
        self._report.seconds = time.monotonic() - self._started

    def _judge(self, item: pytest.Function, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        assert call.excinfo is not None
        reason = self._secrets.hide(str(call.excinfo.value) or call.excinfo.typename)
        if not isinstance(call.excinfo.value, AssertionError | Blocked):
            reason = f"{call.excinfo.typename}: {reason}"
        weight, _ = _contract(item)
        if isinstance(call.excinfo.value, Blocked):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"blocked: {reason}")
            self._record(item, Outcome.BLOCKED, report, reason)
        elif weight is Weight.RECOMMENDED and report.when == "call":
            report.outcome = "passed"
            for properties in (item.user_properties, report.user_properties):
                properties.append((_WARNED, reason))
            self._record(item, Outcome.WARNED, report, reason)
        else:
            self._record(item, Outcome.FAILED, report, reason)

    def _record(self, item: pytest.Function, outcome: Outcome, report: pytest.TestReport, reason: str = "") -> None:
        weight, clients = _contract(item)
        source = str(item.obj.__doc__)
        section = next(section.key for section in SECTIONS if section.module == item.path.stem)
        self._report.results.append(
            Result(section, item.name, weight, clients, " ".join(source.split()), outcome, reason, report.duration)
        )


def paths(sections: Sequence[str]) -> list[Path]:
    """The files of these sections (`C` stands for all of C); of all of them when none is named. Raises LookupError."""
    directory = Path(__file__).parent / "checks"
    wanted = [name.upper() for name in sections]
    for name in wanted:
        if not any(_named(name, section.key) for section in SECTIONS):
            raise LookupError(f"there is no section {name}; there are {', '.join(s.key for s in SECTIONS)}")
    chosen = [s for s in SECTIONS if not wanted or any(_named(name, s.key) for name in wanted)]
    return [directory / f"{section.module}.py" for section in chosen]


def _named(name: str, key: str) -> bool:
    return key == name or key.startswith(f"{name}-")


def _contract(item: pytest.Function) -> tuple[Weight, tuple[Client, ...]]:
    marks = list(item.iter_markers("contract"))
    if len(marks) != 1 or not item.obj.__doc__:
        raise pytest.UsageError(f"{item.nodeid}: needs @required or @recommended, and its source as docstring")
    return cast("Any", marks[0].args)


def _function(item: pytest.Item) -> pytest.Function:
    if not isinstance(item, pytest.Function):
        raise pytest.UsageError(f"{item.nodeid}: is no function")
    return item


def _rank(item: pytest.Function) -> int:
    return max((rank for rank, name in enumerate(LATE_FIXTURES, 1) if name in item.fixturenames), default=0)

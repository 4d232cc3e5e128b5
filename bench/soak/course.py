"""What has happened in a soak, and what follows from its numbers: pure functions."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.figures import percentile

WARM_UP_MINUTES = 60.0
"""Memory and latency are judged in runs that last longer than this; memory from here on."""
_GROWTH = 1.0
"""Percent an hour by which a process may grow."""
_SLOWER = 1.25
"""By this factor may the median start of the last quarter be slower than that of the first."""
_DESCRIPTORS = 8
"""The most open files that a process may gain by the end; connections to the API server are pooled."""


@dataclass(frozen=True)
class Sample:
    """One look at a process: minutes since the beginning, resident memory in MiB, open files."""

    minute: float
    memory: float
    files: int


@dataclass
class Course:
    """What has happened."""

    lives: Counter[str] = field(default_factory=Counter[str])
    troubles: Counter[str] = field(default_factory=Counter[str])
    failed: list[str] = field(default_factory=list[str])
    starts: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When a start through the gateway began, and the seconds until it was ready."""
    visits: int = 0
    """Commands that the real agent servers have run."""
    closes: Counter[int] = field(default_factory=Counter[int])
    """Close codes of the WebSockets to the real agent servers."""
    samples: dict[str, list[Sample]] = field(default_factory=dict[str, list[Sample]])

    def fail(self, what: str) -> None:
        """Note and print what went wrong."""
        self.failed.append(what)
        print(f"FAILED: {what}", flush=True)


def growth(samples: Sequence[Sample], since: float) -> float:
    """Percent an hour by which memory grows from this minute on: a line through the samples. NaN for fewer than two."""
    later = [sample for sample in samples if sample.minute >= since]
    if len(later) < 2:
        return math.nan
    line = statistics.linear_regression([s.minute for s in later], [s.memory for s in later])
    return 100 * line.slope * 60 / later[0].memory


def quarters(starts: Sequence[tuple[float, float]], end: float) -> tuple[list[float], list[float]]:
    """The seconds of starts that began in the first quarter, and in the last one."""
    return [took for at, took in starts if at < end / 4], [took for at, took in starts if at >= end * 3 / 4]


def faults(course: Course, minutes: float) -> list[str]:
    """What must not be, as far as the course shows it."""
    found = [f"failed: {failure}" for failure in course.failed]
    for name, samples in course.samples.items():
        if (more := samples[-1].files - min(sample.files for sample in samples[:4])) > _DESCRIPTORS:
            found.append(f"the {name} has {more} more open files than at the beginning")
        if minutes > WARM_UP_MINUTES and (grown := growth(samples, WARM_UP_MINUTES)) > _GROWTH:
            found.append(f"the {name} grows by {grown:.1f} % an hour")
    first, last = (percentile(starts, 0.5) for starts in quarters(course.starts, minutes * 60))
    if minutes > WARM_UP_MINUTES and last > first * _SLOWER:
        found.append(f"starts take {last:.2f} s in the last quarter, {first:.2f} s in the first")
    return found


def rows(course: Course, minutes: float) -> list[list[str]]:
    """What a reader asks for."""
    first, last = quarters(course.starts, minutes * 60)
    since = WARM_UP_MINUTES if minutes > WARM_UP_MINUTES else minutes / 2
    return [
        ["lives", f"{course.lives.total()} in {minutes:.0f} min: {_counts(course.lives)}"],
        ["troubles", _counts(course.troubles)],
        ["commands in real agent servers", str(course.visits)],
        ["closed WebSockets to them, by code", _counts(course.closes)],
        *(
            [
                f"start p{percent}, first and last quarter",
                f"{percentile(first, share):.2f} s, {percentile(last, share):.2f} s",
            ]
            for percent, share in ((50, 0.5), (90, 0.9))
        ),
        *(
            [
                f"memory of the {name}",
                f"{samples[0].memory:.0f} MiB at first, {samples[-1].memory:.0f} MiB at the end; "
                f"{growth(samples, since):+.1f} % an hour after {since:.0f} min",
            ]
            for name, samples in course.samples.items()
        ),
        *(
            [f"open files of the {name}", f"{samples[0].files} at first, {samples[-1].files} at the end"]
            for name, samples in course.samples.items()
        ),
    ]


def _counts(counter: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counter.items()))

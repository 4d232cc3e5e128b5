"""What sandboxes use over time, by day and class. Pure: the operator, the gateway and the plugin count in the same way.

Times are whole seconds since 1970, as Kubernetes stores them, and all amounts are whole numbers. So a sum does not
depend on how the time is cut into pieces.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from math import ceil
from operator import attrgetter
from typing import Any

from sandbox_common import times
from sandbox_common.quantity import amount
from sandbox_common.reasons import SUSPENSIONS
from sandbox_crds.models import Sandbox, SandboxClassSpec, SandboxUsageStatus, UsageAmounts
from sandbox_crds.models.sandbox_usage import DAYS_KEPT, MOST, MOST_CLASSES, OTHER_CLASSES

type Days = Mapping[str, Mapping[str, UsageAmounts]]
"""Amounts by date, such as `2026-01-31`, and by class."""

DAY = 86_400
"""Seconds of a day in UTC."""
NOTHING = UsageAmounts()
FIELDS = tuple(UsageAmounts.model_fields)

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = date(1970, 1, 1).toordinal()
_STARTS = {
    "Cold": UsageAmounts(cold_starts=1),
    "Warm": UsageAmounts(warm_starts=1),
    "Resume": UsageAmounts(resumes=1),
}
_SUSPENDED = UsageAmounts(suspended_seconds=1)
_MEBI = 1024**2


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a sandbox uses the same. `rate` is its use in one second; `start` counts once, at `since`.

    `until` is None while it goes on.
    """

    class_name: str
    since: int
    rate: UsageAmounts
    until: int | None = None
    start: UsageAmounts = NOTHING


class Sums:
    """Adds up use, beginning with `days`. Days that are no longer kept at `now` do not count."""

    def __init__(self, days: Days, now: int) -> None:
        self._first, self._last = oldest_kept(now), now // DAY + 1
        self._before = {
            number: classes
            for day, classes in days.items()
            if (number := number_of(day)) is not None and self._first <= number <= self._last
        }
        self._changed: dict[int, dict[str, list[int]]] = {}

    def add(self, span: Span, begin: int, end: int) -> None:
        """Add the span's use from one time to another. If `end` is earlier, this use is taken back."""
        sign = 1 if begin <= end else -1
        for day, seconds in _pieces(max(min(begin, end), self._first * DAY), max(begin, end)):
            self._plus(day, span.class_name, span.rate, sign * seconds)

    def add_start(self, span: Span) -> None:
        """Count the span's start."""
        if span.start is not NOTHING and span.since >= self._first * DAY:
            self._plus(span.since // DAY, span.class_name, span.start, 1)

    def days(self) -> dict[str, Mapping[str, UsageAmounts]]:
        """The sums, by day and class in order."""
        changed = {
            day: {name: _amounts(values) for name, values in sorted(rows.items()) if any(values)}
            for day, rows in self._changed.items()
            if day <= self._last
        }
        return {name_of(day): rows for day, rows in sorted({**self._before, **changed}.items()) if rows}

    def _plus(self, day: int, class_name: str, rate: UsageAmounts, times_: int) -> None:
        if day not in self._changed:
            self._changed[day] = {name: _values(row) for name, row in self._before.get(day, {}).items()}
        rows = self._changed[day]
        if class_name not in rows and len(rows) >= MOST_CLASSES - 1:
            class_name = OTHER_CLASSES
        row = rows.setdefault(class_name, [0] * len(FIELDS))
        for index, value in enumerate(_values(rate)):
            row[index] += value * times_


def total(days: Days) -> UsageAmounts:
    """The sum of all days and classes."""
    return added(amounts for classes in days.values() for amounts in classes.values())


def added(rows: Iterable[UsageAmounts]) -> UsageAmounts:
    """The sum of these amounts."""
    return _amounts([sum(column) for column in zip(*map(_values, rows), strict=True)] or [0] * len(FIELDS))


def within(days: Days, since: str, until: str = "") -> Days:
    """The days from `since` to `until`, both included; "": without a bound."""
    return {day: rows for day, rows in days.items() if since <= day and (not until or day <= until)}


def up_to_now(stored: SandboxUsageStatus | None, spans: Iterable[Span], now: int) -> Days:
    """The recorded days of an owner, and what its present spans have used since then."""
    through = seconds(stored.through) if stored and stored.through else 0
    sums = Sums(stored.days if stored else {}, now)
    for span in spans:
        begin, end = max(span.since, through), now if span.until is None else min(span.until, now)
        if begin < end:
            sums.add(span, begin, end)
        if through <= span.since < now:
            sums.add_start(span)
    return sums.days()


def present(sandbox: Sandbox, class_: SandboxClassSpec | None) -> list[Span]:
    """The spans of a Sandbox without a look at its pods: the class's present requests stand for those of the pod.

    Raises ValueError if a time is malformed.
    """
    status = sandbox.status
    spans = list(resting(sandbox, class_).values())
    if status.pod_uid and status.ready_time:
        requests = class_.resources.requests if class_ else {}
        rate = running(requests.get("cpu", "0"), requests.get("memory", "0"), sandbox.spec.resource_factor)
        name, end = sandbox.spec.class_name, _end(sandbox)
        spans.append(Span(name, seconds(status.ready_time), rate, end))
        # The operator counts a start when the pod has a node, so its record may have a start that is not over yet.
        began = max(sandbox.metadata.creation_timestamp, status.start_time or status.ready_time)
        spans.append(Span(name, seconds(began), NOTHING, end, starting(status.launch)))
    return spans


def resting(sandbox: Sandbox, class_: SandboxClassSpec | None) -> dict[str, Span]:
    """What a Sandbox uses beside its pods, by name: its suspension, and its volume. Raises ValueError."""
    found: dict[str, Span] = {}
    status, name, end = sandbox.status, sandbox.spec.class_name, _end(sandbox)
    ready = status.condition("Ready")
    if ready and ready.reason in SUSPENSIONS.values():
        since = ready.last_transition_time
        found[f"suspension {since}"] = Span(name, seconds(since), _SUSPENDED, end)
    if class_ and (class_.workspace.persistent if status.workspace_kept is None else status.workspace_kept):
        since = status.first_ready_time or max(sandbox.metadata.creation_timestamp, status.start_time)
        # Without a launch, no volume has been made yet.
        if since and status.launch:
            found["volume"] = Span(name, seconds(since), rate_of_volume(mebibytes(class_.workspace.size)), end)
    return found


def running(cpu: str, memory: str, factor: int = 1) -> UsageAmounts:
    """What a pod with these requests uses in a second."""
    return rate_of_pod(millicores(cpu) * factor, mebibytes(memory) * factor)


@lru_cache(1024)
def rate_of_pod(cpu_millicores: int, memory_mebibytes: int) -> UsageAmounts:
    """What a pod that requests this uses in a second."""
    return UsageAmounts(
        running_seconds=1,
        cpu_millicore_seconds=min(cpu_millicores, MOST),
        memory_mebibyte_seconds=min(memory_mebibytes, MOST),
    )


@lru_cache(1024)
def rate_of_volume(mebibytes: int) -> UsageAmounts:
    """What a volume of this size uses in a second."""
    return UsageAmounts(storage_mebibyte_seconds=mebibytes)


def starting(launch: str) -> UsageAmounts:
    """One start of this kind."""
    return _STARTS.get(launch, NOTHING)


@lru_cache(1024)
def millicores(quantity: str) -> int:
    """CPU in thousandths, rounded up; 0 if it is not a quantity."""
    return min(ceil((amount(quantity) or Decimal()) * 1000), MOST)


@lru_cache(1024)
def mebibytes(quantity: str) -> int:
    """Bytes in MiB, rounded up; 0 if it is not a quantity."""
    return min(ceil((amount(quantity) or Decimal()) / _MEBI), MOST)


def seconds(text: str) -> int:
    """A time of the Kubernetes API. Raises ValueError."""
    return int(times.parse(text).timestamp())


def name_of(day: int) -> str:
    """The date of a day since 1970."""
    return date.fromordinal(_EPOCH + day).isoformat()


@lru_cache(1024)
def number_of(day: str) -> int | None:
    """The day of a date such as `2026-01-31`, since 1970; None if it is no date in this form."""
    try:
        return date.fromisoformat(day).toordinal() - _EPOCH if _DATE.fullmatch(day) else None
    except ValueError:
        return None


def newest(days: Iterable[str]) -> str:
    """The last of these dates; "" if there is none. Other texts do not count."""
    return max((day for day in days if number_of(day) is not None), default="")


def oldest_kept(now: int) -> int:
    """The first day, since 1970, whose amounts are kept."""
    return now // DAY - DAYS_KEPT + 1


def fields(amounts: UsageAmounts) -> dict[str, Any]:
    """The amounts by name, as in Python."""
    return dict(zip(FIELDS, _values(amounts), strict=True))


def _end(sandbox: Sandbox) -> int | None:
    deleted = sandbox.metadata.deletion_timestamp
    return seconds(deleted) if deleted else None


def _pieces(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The days of a time, each with its seconds."""
    while begin < end:
        midnight = min((begin // DAY + 1) * DAY, end)
        yield begin // DAY, midnight - begin
        begin = midnight


_of = attrgetter(*FIELDS)


def _values(amounts: UsageAmounts) -> list[int]:
    return list(_of(amounts))


def _amounts(values: Iterable[int]) -> UsageAmounts:
    return UsageAmounts.model_validate(
        dict(zip(FIELDS, (min(max(value, 0), MOST) for value in values), strict=True)),
    )

"""Sums of use by day and class, and what a Sandbox uses now."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.usage import (
    DAY,
    NOTHING,
    Span,
    Sums,
    added,
    mebibytes,
    millicores,
    name_of,
    newest,
    number_of,
    present,
    running,
    starting,
    total,
    up_to_now,
    within,
)
from sandbox_crds.models import Sandbox, SandboxClassSpec, SandboxUsageStatus, UsageAmounts
from sandbox_crds.models.sandbox_usage import DAYS_KEPT, MOST, MOST_CLASSES, OTHER_CLASSES

MIDNIGHT = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp())
RATE = UsageAmounts(running_seconds=1, cpu_millicore_seconds=500)
CLASS = SandboxClassSpec.model_validate(
    {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}, "workspace": {"persistent": True, "size": "10Gi"}}
)


def span(since: int = MIDNIGHT, class_name: str = "default", rate: UsageAmounts = RATE) -> Span:
    return Span(class_name, since, rate)


def sandbox(reason: str = "Ready", at: str = "2026-11-29T23:00:00Z", **fields: Any) -> Sandbox:
    """One that has been ready since `at`, or has been suspended then."""
    status = {
        "conditions": [{"type": "Ready", "status": "True", "reason": reason, "lastTransitionTime": at}],
        "firstReadyTime": "2026-11-29T22:00:00Z",
        "launch": "Resume",
        "workspaceKept": True,
    }
    of_pod = {"podUID": "uid", "startTime": at, "readyTime": at} if reason == "Ready" else {}
    metadata = {"name": "one", "uid": "u", "creationTimestamp": "2026-11-29T21:00:00Z", **fields}
    return Sandbox.model_validate({"metadata": metadata, "spec": {"image": "i"}, "status": {**status, **of_pod}})


def test_time_is_split_at_midnight() -> None:
    sums = Sums({}, MIDNIGHT + DAY)
    sums.add(span(), MIDNIGHT - 10, MIDNIGHT + DAY + 5)
    found = {day: classes["default"].running_seconds for day, classes in sums.days().items()}
    assert found == {"2026-11-29": 10, "2026-11-30": DAY, "2026-12-01": 5}
    assert total(sums.days()).cpu_millicore_seconds == 500 * (DAY + 15)


@given(st.lists(st.integers(MIDNIGHT - 3 * DAY, MIDNIGHT + 3 * DAY), min_size=2, max_size=8))
def test_the_sum_of_all_pieces_is_that_of_the_whole_whatever_way_they_go(points: list[int]) -> None:
    pieces, whole = Sums({}, MIDNIGHT + 3 * DAY), Sums({}, MIDNIGHT + 3 * DAY)
    base = span(MIDNIGHT - 3 * DAY)
    for sums, first in ((pieces, points[0]), (whole, points[-1])):
        sums.add(base, base.since, first)
    for begin, end in pairwise(points):
        pieces.add(base, begin, end)
    assert pieces.days() == whole.days()


def test_old_days_and_texts_that_are_no_days_are_dropped() -> None:
    now = MIDNIGHT + 60
    oldest, older = name_of(now // DAY - DAYS_KEPT + 1), name_of(now // DAY - DAYS_KEPT)
    row = {"default": RATE}
    kept = Sums({oldest: row, older: row, "zzz": row, "2026-13-01": row, "9999-12-31": row}, now)
    kept.add(span(), MIDNIGHT - 400 * DAY, MIDNIGHT - 100 * DAY)
    assert list(kept.days()) == [oldest]
    assert newest([older, "zzz", oldest, "9999-99-99"]) == oldest
    assert newest([]) == ""
    assert number_of("1970-01-02") == 1


def test_a_day_has_a_bounded_number_of_classes_and_loses_nothing() -> None:
    sums = Sums({}, MIDNIGHT + 100)
    for number in range(100):
        sums.add(span(class_name=f"class {number}\x1b[2J"), MIDNIGHT, MIDNIGHT + 10)
    [classes] = sums.days().values()
    assert len(classes) == MOST_CLASSES
    assert classes[OTHER_CLASSES].running_seconds == 10 * (100 - MOST_CLASSES + 1)
    assert total(sums.days()).running_seconds == 1000


def test_amounts_stay_within_the_bounds_of_the_definition() -> None:
    sums = Sums({}, MIDNIGHT + 100)
    sums.add(span(rate=UsageAmounts(storage_mebibyte_seconds=MOST)), MIDNIGHT, MIDNIGHT + 100)
    sums.add(span(), MIDNIGHT + 10, MIDNIGHT)
    [[row]] = [list(classes.values()) for classes in sums.days().values()]
    assert (row.storage_mebibyte_seconds, row.running_seconds) == (MOST, 0)


def test_sums_of_rows() -> None:
    assert added([]) == NOTHING
    days = {day: {"a": RATE, "b": RATE} for day in ("2026-11-29", "2026-11-30", "2026-12-01")}
    assert total(within(days, "2026-11-30")).running_seconds == 4
    assert total(within(days, "", "2026-11-30")).running_seconds == 4
    assert total(within(days, "2026-11-30", "2026-11-30")).running_seconds == 2


@pytest.mark.parametrize(
    ("quantity", "cpu", "memory"),
    [("250m", 250, 1), ("1Gi", 1024**3 * 1000, 1024), ("100M", 10**11, 96), ("nothing", 0, 0), ("9" * 30, MOST, MOST)],
)
def test_requests_are_rounded_up(quantity: str, cpu: int, memory: int) -> None:
    assert (millicores(quantity), mebibytes(quantity)) == (cpu, memory)
    assert running("250m", "1Gi", 4) == UsageAmounts(
        running_seconds=1, cpu_millicore_seconds=1000, memory_mebibyte_seconds=4096
    )


def test_a_running_sandbox_counts_on_from_the_record() -> None:
    now = MIDNIGHT + 100
    stored = SandboxUsageStatus(through="2026-11-29T23:59:00Z", days={"2026-11-29": {"default": RATE}})
    days = up_to_now(stored, present(sandbox(), CLASS), now)
    assert {day: classes["default"].running_seconds for day, classes in days.items()} == {
        "2026-11-29": 61,
        "2026-11-30": 100,
    }
    sum_ = total(days)
    assert sum_.memory_mebibyte_seconds == 1024 * 160
    assert sum_.storage_mebibyte_seconds == 10240 * 160
    # Its start is recorded.
    assert (sum_.resumes, sum_.suspended_seconds) == (0, 0)


def test_a_start_that_was_recorded_before_it_was_over_counts_once() -> None:
    slow = sandbox()
    status = slow.status.model_copy(update={"start_time": "2026-11-29T22:55:00Z"})
    stored = SandboxUsageStatus(through="2026-11-29T22:56:00Z", days={"2026-11-29": {"default": starting("Resume")}})
    sum_ = total(up_to_now(stored, present(slow.model_copy(update={"status": status}), CLASS), MIDNIGHT))
    assert (sum_.resumes, sum_.running_seconds) == (1, 3600)


def test_without_a_record_all_of_a_present_sandbox_counts() -> None:
    sum_ = total(up_to_now(None, present(sandbox(), CLASS), MIDNIGHT))
    assert (sum_.running_seconds, sum_.resumes) == (3600, 1)
    assert sum_.storage_mebibyte_seconds == 10240 * 7200


@pytest.mark.parametrize("reason", ["Suspended", "Idle", "StartTimeout"])
def test_a_suspended_sandbox_uses_its_volume_alone(reason: str) -> None:
    sum_ = total(up_to_now(None, present(sandbox(reason), CLASS), MIDNIGHT))
    assert (sum_.suspended_seconds, sum_.running_seconds, sum_.cpu_millicore_seconds) == (3600, 0, 0)
    assert sum_.storage_mebibyte_seconds == 10240 * 7200


def test_nothing_counts_after_the_deletion_or_before_a_volume() -> None:
    ending = sandbox(deletionTimestamp="2026-11-29T23:30:00Z")
    assert total(up_to_now(None, present(ending, CLASS), MIDNIGHT)).running_seconds == 1800
    new = Sandbox.model_validate({"metadata": {"creationTimestamp": "2026-11-29T21:00:00Z"}, "spec": {"image": "i"}})
    assert present(new, CLASS) == []
    without = Sandbox.model_validate(
        {**sandbox().model_dump(by_alias=True), "status": {"launch": "Cold", "workspaceKept": False}}
    )
    assert present(without, CLASS) == []
    # Its class is unknown.
    assert {each.rate.storage_mebibyte_seconds for each in present(sandbox(), None)} == {0}


def test_starts_have_a_kind() -> None:
    assert starting("Warm").warm_starts == starting("Cold").cold_starts == starting("Resume").resumes == 1
    assert starting("") == NOTHING

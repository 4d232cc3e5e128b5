"""Times that people can write into objects: each is read, and a time limit can be added to it or taken from it."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox_common.times import EARLIEST, LATEST, parse

ABSURD = [
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-23:59",
    "12345-01-01T00:00:00Z",
    "+292277026-08-20T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "-0044-03-15T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01",
]


@pytest.mark.parametrize("text", ABSURD)
def test_any_time_can_be_reckoned_with(text: str) -> None:
    century = timedelta(days=36_525)
    time = parse(text)
    assert EARLIEST <= time <= LATEST
    assert time - century < time.astimezone(UTC) < max(time, datetime.now(UTC)) + century
    assert time.timestamp() >= 0


def test_usual_times_stay_what_they_are() -> None:
    assert parse("2026-11-23T12:00:00.5Z") == datetime(2026, 11, 23, 12, 0, 0, 500_000, UTC)
    assert parse("2026-11-23T12:00:00+02:00") == datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "x", "2026-13-01T00:00:00Z", "0000-99-99T99:99:99Z", "99999999999"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)iso|month|year"):
        parse(text)

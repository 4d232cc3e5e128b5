"""Options as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_ohsb import texts
from sandbox_common.api_keys import Limits

NOW = datetime(2026, 11, 27, 12, 0, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", timedelta()),
        ("0s", timedelta()),
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(days=1)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("1d12h", timedelta(hours=36)),
        ("1w2d3h4m5s", timedelta(days=9, hours=3, minutes=4, seconds=5)),
        ("3650d", texts.LONGEST),
    ],
)
def test_durations(text: str, length: timedelta) -> None:
    assert texts.duration(text) == length


@pytest.mark.parametrize(
    "text",
    ["", " ", "5", "-1d", "+1d", "1.5d", "1d ", "1D", "d", "1h1d", "1d1d", "1y", "²d", "1d\n", "3651d", "9" * 99],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"give numbers with units|at most 3650d"):
        texts.duration(text)


@given(st.tuples(*(st.integers(0, limit) for limit in (500, 100, 1000, 10_000, 100_000))))
def test_a_duration_is_the_sum_of_its_parts(numbers: tuple[int, ...]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in zip(numbers, "wdhms", strict=True))
    weeks, days, hours, minutes, seconds = numbers
    expected = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    if expected <= texts.LONGEST:
        assert texts.duration(text) == expected
    else:
        with pytest.raises(ValueError, match="at most"):
            texts.duration(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30d", datetime(2026, 12, 27, 12, tzinfo=UTC)),
        ("2026-11-27T12:00:01Z", datetime(2026, 11, 27, 12, 0, 1, tzinfo=UTC)),
        ("2027-01-31t12:00:00.5+01:00", datetime(2027, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_expiries(text: str, time: datetime) -> None:
    assert texts.expiry(text, NOW) == time


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "or a time such as"),
        ("never", "or a time such as"),
        ("0", "give a later time"),
        ("-1d", "or a time such as"),
        ("2026-11-27T12:00:00Z", "give a later time"),
        ("0001-01-01T00:00:00+23:59", "give a later time"),
        ("2026-11-28", "with its zone"),
        ("2026-11-28T12:00:00", "with its zone"),
        ("2026-13-28T12:00:00Z", "with its zone"),
        ("2026-11-28 12:00:00Z", "with its zone"),
        ("2026-11-28T12:00:00Z\n", "with its zone"),
        ("2036-11-27T12:00:00Z", "more than 3650d ahead"),
        ("9999-12-31T23:59:59-23:59", "more than 3650d ahead"),
    ],
)
def test_bad_expiries_are_refused(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        texts.expiry(text, NOW)


@given(
    st.text(st.sampled_from("0123456789-:TZ.+wdhms ")) | st.datetimes().map(lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}")
)
def test_any_text_is_a_time_ahead_or_refused(text: str) -> None:
    try:
        time = texts.expiry(text, NOW)
    except ValueError:
        return
    assert NOW.replace(microsecond=0) <= time <= NOW + texts.LONGEST


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("running", "0", 0),
        ("running", "100000", 100_000),
        ("running", "none", None),
        ("sandboxes", "1000000", 1_000_000),
        ("starts_per_minute", "6000", 6000),
        ("requests_per_minute", "1", 1),
        ("resource_factor", "8", 8),
        ("life_seconds", "1m", 60),
        ("life_seconds", "7d", 604_800),
        ("life_seconds", "none", None),
    ],
)
def test_limits(field: str, text: str, value: int | None) -> None:
    assert texts.limit(field, text) == value


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("running", "-1"),
        ("running", "100001"),
        ("running", "9" * 30),
        ("running", ""),
        ("running", "1.0"),
        ("running", "1e3"),
        ("running", "1_0"),
        ("running", "+1"),
        ("running", "٣"),
        ("running", "None"),
        ("sandboxes", "1000001"),
        ("starts_per_minute", "6001"),
        ("requests_per_minute", "0"),
        ("resource_factor", "3"),
        ("life_seconds", "59s"),
        ("life_seconds", "3651d"),
        ("life_seconds", "3600"),
    ],
)
def test_bad_limits_are_refused_with_a_remedy(field: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"give |at most 3650d"):
        texts.limit(field, text)


@given(st.integers(-(10**20), 10**20))
def test_a_number_is_a_limit_just_when_the_model_takes_it(number: int) -> None:
    try:
        read = texts.limit("running", str(number))
    except ValueError:
        read = None
    assert read == (number if 0 <= number <= 100_000 else None)


@pytest.mark.parametrize("text", ["", " ", " a", "a ", "a\nb", "a\x1b[2J", "ü", "a" * 254])
def test_what_is_no_owner_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an owner: give 1 to 253"):
        texts.owner(text)


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a.b", "a/b", "..", "a" * 64, "a\n"])
def test_what_is_no_label_is_no_name_of_a_new_key(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name: give 1 to 63"):
        texts.new_name(text)


@pytest.mark.parametrize("text", ["", "..", "a/b", "../a", "A", "a%2fb", "a b", "a?x", "a" * 254])
def test_what_cannot_be_there_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name: give"):
        texts.name(text)


def test_names_of_others_secrets_may_be_longer() -> None:
    assert texts.name("release.v1-" + "a" * 100)


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "a\x1b", "a" * 513])
def test_what_matches_no_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"image|character"):
        texts.image(text)


def test_images() -> None:
    assert texts.image("ghcr.io/openhands/*") == "ghcr.io/openhands/*"


def test_every_limit_can_be_read() -> None:
    assert {field: texts.limit(field, "none") for field in Limits.model_fields} == dict.fromkeys(Limits.model_fields)

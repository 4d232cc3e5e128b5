"""The form of what the gateway tells the operator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_common.activity import Report, Use, decode, encode

_SECONDS = st.floats(0, allow_nan=False, allow_infinity=False)


@given(st.builds(Report, _SECONDS, st.dictionaries(st.text(), st.builds(Use, st.integers(0, 2**31), _SECONDS))))
def test_a_report_comes_back_as_it_was(report: Report) -> None:
    assert decode(encode(report)) == report


def test_the_words_on_the_wire() -> None:
    body = encode(Report(12.5, {"sb-a": Use(1, 0.0)}))
    assert body == b'{"uptime_seconds":12.5,"sandboxes":{"sb-a":{"in_flight":1,"idle_seconds":0.0}}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"uptime_seconds": 1}',
        b'{"uptime_seconds": -1, "sandboxes": {}}',
        b'{"uptime_seconds": NaN, "sandboxes": {}}',
        b'{"uptime_seconds": 1, "sandboxes": {"a": 1}}',
        b'{"uptime_seconds": 1, "sandboxes": {"a": {"in_flight": 0}}}',
        b'{"uptime_seconds": 1, "sandboxes": {"a": {"in_flight": -1, "idle_seconds": 1}}}',
        b'{"uptime_seconds": 1, "sandboxes": {"a": {"in_flight": 0, "idle_seconds": 1e999}}}',
        b"\xff",
    ],
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not an activity report"):
        decode(body)

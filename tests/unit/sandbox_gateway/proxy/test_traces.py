"""Trace contexts of requests: which are part of a sampled trace, and what a span makes of them."""

import pytest

from sandbox_gateway.proxy.traces import Trace, sampled_trace

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("trace_parent", "trace_id"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-03", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-00", None),
        (f"00-{TRACE}-00f067aa0ba902b7-02", None),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-00f067aa0ba902b7-01, 00-{TRACE}-00f067aa0ba902b7-01", None),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more, 01-{TRACE}-00f067aa0ba902b7-01", None),
        ("", None),
        ("secret", None),
    ],
)
def test_the_trace_of_those_that_are_recorded(trace_parent: str, trace_id: str | None) -> None:
    trace = sampled_trace(trace_parent.encode())
    assert (trace and trace.trace_id) == trace_id


def test_a_span_takes_the_place_of_the_sender() -> None:
    trace = Trace(TRACE, "00f067aa0ba902b7", flags=1, span_id="1111111111111111")
    assert trace.parent == f"00-{TRACE}-00f067aa0ba902b7-01"
    assert trace.own == f"00-{TRACE}-1111111111111111-01"


def test_a_later_version_and_its_flags_are_not_passed_on() -> None:
    trace = sampled_trace(f"01-{TRACE}-00f067aa0ba902b7-ff-more".encode())
    assert trace == Trace(TRACE, "00f067aa0ba902b7", flags=3)

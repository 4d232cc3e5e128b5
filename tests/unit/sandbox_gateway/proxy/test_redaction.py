"""What is told of paths and trace contexts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_gateway.proxy.redaction import sampled_trace, template

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/", "/"),
        ("*", "*"),
        ("/start", "/start"),
        ("/sessions/my-session", "/sessions/{}"),
        ("/sessions/batch?ids=a&ids=b", "/sessions/batch"),
        ("/explain/my-session", "/explain/{}"),
        ("/api/bash/bash_events/search?command_id__eq=1", "/api/bash/bash_events/search"),
        ("/api/conversations/0b1e0e2c-8f0e-4f3e/events/search", "/api/conversations/{}/events/search"),
        ("/sockets/events/1?session_api_key=secret", "/sockets/events/{}"),
        ("/api/file/download/workspace/Facts.txt", "/api/file/download/workspace/{}"),
        ("/%61pi//x/", "/{}//{}/"),
        ("/api;key=secret", "/{}"),
        ("/a" * 12, "/{}" * 10 + "/..."),
    ],
)
def test_a_path_is_told_by_its_words(target: str, told: str) -> None:
    assert template(target.encode()) == told


@given(st.binary(max_size=40).filter(lambda text: b"/" not in text and b"?" not in text))
def test_nothing_else_is_told(segment: bytes) -> None:
    told = template(b"/sessions/" + segment + b"/" + segment + b"?" + segment)
    first, second = told.removeprefix("/sessions/").split("/")
    assert first == second
    assert first == "{}" or template(b"/" + segment) == "/" + first


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
        ("", None),
        ("secret", None),
    ],
)
def test_the_trace_of_those_that_are_recorded(trace_parent: str, trace_id: str | None) -> None:
    assert sampled_trace(trace_parent.encode()) == trace_id

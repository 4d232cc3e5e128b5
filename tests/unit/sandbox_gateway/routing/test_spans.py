"""Spans of requests in sampled traces."""

from dataclasses import replace

import pytest
from opentelemetry.trace import SpanKind

from sandbox_gateway.process.tallies import Route
from sandbox_gateway.proxy.traces import Trace
from sandbox_gateway.routing.spans import RequestSpans, span_of
from unit.exported_spans import SENDER, TRACE, Exported
from unit.sandbox_gateway.proxy.test_access_log import ENTRY as LOGGED

WHEN = 1767323045.5
ENTRY = replace(
    LOGGED,
    target=b"/api/conversations/my-conversation/events/search?session_api_key=secret",
    status=200,
    seconds=0.25,
    trace=Trace(TRACE, SENDER, flags=1, span_id="1111111111111111"),
    detail="",
)


def test_a_span_says_what_the_access_log_says() -> None:
    span = span_of(WHEN, ENTRY)
    assert (span.name, span.kind, span.error) == ("GET /api/conversations/{}/events/search", "server", "")
    assert (span.start.timestamp(), span.end.timestamp()) == (WHEN - 0.25, WHEN)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/conversations/{}/events/search",
        "http.response.status_code": 200,
        "http.request.size": 100,
        "http.response.size": 200,
        "client.address": "127.0.0.1",
        "network.protocol.name": "http",
        "openhands.gateway.route": "sandbox",
        "openhands.gateway.added_seconds": 0.00005,
        "openhands.sandbox.runtime_id": "abc",
    }


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (502, "Sandbox abc broke off.", "502"),
        (401, "No key.", ""),
        (200, "The answer broke off.", "broken_off"),
        (0, "", ""),
    ],
)
def test_only_what_the_client_did_not_cause_is_an_error(status: int, detail: str, error: str) -> None:
    span = span_of(WHEN, replace(ENTRY, status=status, detail=detail))
    assert span.error == error
    assert span.attributes.get("openhands.gateway.detail", "") == detail


def test_a_websocket_is_one_span() -> None:
    span = span_of(WHEN, replace(ENTRY, route=Route.WEBSOCKET, status=101, target=b"/sockets/events/1"))
    assert (span.name, span.attributes["network.protocol.name"]) == ("GET /sockets/events/{}", "websocket")


def test_it_has_the_id_that_the_sandbox_got() -> None:
    exported = Exported(ratio=0)
    RequestSpans(exported.tracing).take(WHEN, ENTRY)
    [(name, span)] = exported.spans.items()
    assert span.context
    assert (f"{span.context.span_id:016x}", exported.parent_of(name)) == ("1111111111111111", SENDER)
    assert span.kind is SpanKind.SERVER


def test_there_are_a_hundred_a_second() -> None:
    now = 5.0
    spans = RequestSpans(Exported().tracing, lambda: now)
    ids = [spans.new() for _ in range(130)]
    assert ids[100:] == [""] * 30
    assert len({*ids[:100]}) == 100
    assert all(len(id_) == 16 and int(id_, 16) for id_ in ids[:100])
    now = 6.0
    assert spans.new()

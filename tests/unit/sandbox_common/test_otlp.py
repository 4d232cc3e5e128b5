"""Spans as OpenTelemetry exports them."""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY

from sandbox_common import otlp
from sandbox_common.otlp import Batches, Otlp, Seldom
from sandbox_common.spans import Span, tracing_from_environment
from sandbox_common.times import parse
from unit.exported_spans import SAMPLED, SENDER, TRACE, Exported

NOON = parse("2026-11-23T12:00:00Z")


def span(name: str, start: datetime = NOON, seconds: float = 1, *children: Span, error: str = "") -> Span:
    end = start + timedelta(seconds=seconds)
    return Span(name, start, end, {"number": 7}, error=error, children=children)


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def test_a_span_is_below_its_parent_with_its_children_and_times() -> None:
    exported = Exported()
    exported.tracing.record(span("outer", NOON, 3, span("inner", NOON + timedelta(milliseconds=1))), SAMPLED)
    outer, inner = exported.spans["outer"], exported.spans["inner"]
    assert (exported.parent_of("outer"), exported.parent_of("inner")) == (SENDER, "outer")
    assert {ids(each)[0] for each in (outer, inner)} == {TRACE}
    assert (outer.start_time, outer.end_time) == (1795435200_000_000_000, 1795435203_000_000_000)
    assert inner.start_time == 1795435200_001_000_000
    assert (outer.kind, dict(outer.attributes or {}), outer.status.status_code) == (
        SpanKind.INTERNAL,
        {"number": 7},
        StatusCode.UNSET,
    )
    assert outer.resource.attributes["service.name"] == "a-service"


def test_a_failure_is_an_error() -> None:
    exported = Exported()
    exported.tracing.record(span("outer", error="Refused"), SAMPLED)
    outer = exported.spans["outer"]
    assert outer.status.status_code is StatusCode.ERROR
    assert (outer.attributes or {})["error.type"] == "Refused"


def test_an_id_that_others_know_is_kept_and_used_once() -> None:
    exported = Exported()
    exported.tracing.record(span("first", NOON, 1, span("below")), SAMPLED, span_id="1111111111111111")
    exported.tracing.record(span("second"), SAMPLED)
    assert ids(exported.spans["first"]) == (TRACE, "1111111111111111")
    assert exported.parent_of("below") == "first"
    assert len({ids(each) for each in exported.spans.values()}) == 3


@pytest.mark.parametrize(
    "trace_parent",
    [
        "",
        "nonsense",
        SAMPLED[:-1],
        SAMPLED[:-2] + "00",
        SAMPLED.replace(TRACE, "0" * 32),
        SAMPLED.upper(),
        SAMPLED * 100,
        "é" * 55,
    ],
)
def test_what_is_no_sampled_trace_gets_no_span(trace_parent: str) -> None:
    exported = Exported()
    exported.tracing.record(span("outer"), trace_parent, span_id="1111111111111111")
    assert not exported.spans


def test_a_new_trace_begins_with_a_server_span() -> None:
    exported = Exported()
    opened = exported.tracing.begin("start", "")
    assert opened
    assert not exported.spans
    opened.child(span("child"))
    opened.describe({"size": 1})
    exported.tracing.record(span("of another process"), opened.trace_parent)
    opened.end()
    assert [exported.parent_of(name) for name in ("start", "child", "of another process")] == ["", "start", "start"]
    start = exported.spans["start"]
    assert (start.kind, dict(start.attributes or {})) == (SpanKind.SERVER, {"size": 1})
    assert len({ids(each)[0] for each in exported.spans.values()}) == 1


def test_a_sampled_trace_is_continued_whatever_the_share_of_new_ones() -> None:
    exported = Exported(ratio=0)
    opened = exported.tracing.begin("start", SAMPLED)
    assert opened
    opened.end("TimeoutError")
    start = exported.spans["start"]
    assert (exported.parent_of("start"), ids(start)[0], start.kind) == (SENDER, TRACE, SpanKind.INTERNAL)
    assert (start.attributes or {})["error.type"] == "TimeoutError"


@pytest.mark.parametrize("trace_parent", ["", "nonsense", SAMPLED[:-2] + "00"])
def test_others_are_sampled_by_share(trace_parent: str) -> None:
    assert Exported(ratio=0).tracing.begin("start", trace_parent) is None
    begun = [bool(Exported(ratio=0.5).tracing.begin("start", trace_parent)) for _ in range(200)]
    assert 60 < sum(begun) < 140


def dropped() -> float:
    return REGISTRY.get_sample_value("openhands_sandbox_spans_dropped_total") or 0


class Stuck(SpanExporter):
    """A collector that does not answer."""

    def export(self, spans: object) -> SpanExportResult:
        time.sleep(30)
        return SpanExportResult.FAILURE


async def test_a_collector_that_does_not_answer_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "_CLOSE_SECONDS", 0.1)
    tracing = Otlp("a-service", Batches(Stuck(), 100, 10))
    began, before = time.monotonic(), dropped()
    for _ in range(1000):
        tracing.record(span("outer"), SAMPLED)
    # 100 wait, and up to 10 are being sent.
    assert 890 <= dropped() - before <= 900
    await tracing.close()
    assert time.monotonic() - began < 10


class Collector(SpanExporter):
    """A collector that takes spans, refuses them or cannot be reached."""

    def __init__(self, answer: SpanExportResult | None) -> None:
        self._answer = answer
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._answer is None:
            raise ConnectionError
        self.taken += len(spans) if self._answer is SpanExportResult.SUCCESS else 0
        return self._answer


@pytest.mark.parametrize("answer", [*SpanExportResult, None])
async def test_each_span_is_exported_or_counted_as_dropped(answer: SpanExportResult | None) -> None:
    collector, before = Collector(answer), dropped()
    tracing = Otlp("a-service", Batches(collector, 100, 10))
    for number in range(300):
        tracing.record(span("outer"), SAMPLED)
        if number % 50 == 0:
            await asyncio.sleep(0.01)
    await tracing.close()
    assert collector.taken + dropped() - before == 300
    assert bool(collector.taken) == (answer is SpanExportResult.SUCCESS)


@pytest.mark.parametrize(("text", "room"), [("", 2048), ("10", 10), ("0", 2048), ("-1", 2048), ("many", 2048)])
def test_the_environment_bounds_the_queue(text: str, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", text)
    assert otlp._queue_size() == room  # pyright: ignore[reportPrivateUsage]


def test_failures_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(otlp.time, "monotonic", lambda: now)
    logger = logging.getLogger("opentelemetry.test_otlp")
    logger.propagate = False
    logger.addHandler(Seldom())
    for now in (100, 101, 159, 160, 161, 219, 220):
        logger.error("export %s failed", now)
        logger.info("not worth a line")
    assert [record.getMessage() for record in caplog.records] == [
        "export 100 failed",
        "export 160 failed (2 more records since the last one)",
        "export 220 failed (2 more records since the last one)",
    ]


VARIABLES = (
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    *("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"),
)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_it_is_off(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing_from_environment("a-service") is None


def test_without_the_extra_it_is_off_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setitem(sys.modules, "sandbox_common.otlp", None)
    with structlog.testing.capture_logs() as logs:
        assert tracing_from_environment("a-service") is None
    assert [log["event"] for log in logs] == ["traces are not exported: install openhands-sandbox[tracing]"]


def test_the_environment_names_service_and_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "another-service")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=agents,k8s.pod.name=a-pod")
    exported = Exported()
    exported.tracing.record(span("outer"), SAMPLED)
    resource = exported.spans["outer"].resource.attributes
    assert [resource[name] for name in ("service.name", "k8s.namespace.name", "k8s.pod.name")] == [
        "another-service",
        "agents",
        "a-pod",
    ]


IMPORTED = """
import sys
from sandbox_common.spans import tracing_from_environment
import sandbox_gateway.main, sandbox_operator.main
tracing_from_environment("a-service")
sdk = ("opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf")
print(*(name for name in sys.modules if name.startswith(sdk)))
"""


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9"])
def test_the_sdk_is_imported_only_if_there_is_a_collector(
    endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if endpoint:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert ("opentelemetry.sdk" in done.stdout.split()) == bool(endpoint)
    assert bool(done.stdout.strip()) == bool(endpoint)

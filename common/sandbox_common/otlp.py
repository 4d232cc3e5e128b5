"""Exports spans to a collector by OTLP over HTTP, with the SDK of OpenTelemetry.

A thread of the SDK sends them in batches from a bounded queue. If the collector is slow or down, the oldest spans are
dropped, and nothing else waits.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import override

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sandbox_common import spans
from sandbox_common.spans import DROPPED_SPANS, Attributes
from sandbox_common.waiting import set_within

_CLOSE_SECONDS = 3.0
"""At the end of the process, whose grace time also has to be enough for everything else."""
_QUIET_SECONDS = 60.0
_QUEUE = 2048
_KINDS = {"internal": trace.SpanKind.INTERNAL, "server": trace.SpanKind.SERVER}


class _Ids(RandomIdGenerator):
    """Random ids, unless the next span's id is known already."""

    chosen = 0

    @override
    def generate_span_id(self) -> int:
        chosen, self.chosen = self.chosen, 0
        return chosen or super().generate_span_id()


class _Counted(SpanExporter):
    """Counts the spans that come to an exporter, and those that it cannot export."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                DROPPED_SPANS.inc(len(spans))
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()


class Batches(BatchSpanProcessor):
    """Sends spans in batches from a queue. Counts those that it drops because its queue is full."""

    def __init__(self, exporter: SpanExporter, queue: int, batch: int | None = None) -> None:
        self._counted = _Counted(exporter)
        self._queue = queue
        self._ended = 0
        self._dropped = 0
        super().__init__(self._counted, max_queue_size=queue, max_export_batch_size=batch)

    @override
    def on_end(self, span: ReadableSpan) -> None:
        # The processor drops the oldest span for this one.
        if self._ended - self._dropped - self._counted.taken >= self._queue:
            self._dropped += 1
            DROPPED_SPANS.inc()
        self._ended += 1
        super().on_end(span)


class Otlp:
    """Implements `spans.Tracing` over a processor of finished spans. The environment may choose another sampler."""

    def __init__(self, service: str, processor: SpanProcessor, sampler: Sampler | None = None) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=sampler,
            resource=_resource(service),
            # The end of the process would wait for a collector that does not answer.
            shutdown_on_exit=False,
            id_generator=self._ids,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("openhands-sandbox")

    @classmethod
    def to_collector(cls, service: str) -> "Otlp":
        """Export to the collector that the environment names."""
        logger = logging.getLogger("opentelemetry")
        logger.propagate = False
        logger.handlers = [Seldom()]
        return cls(service, Batches(OTLPSpanExporter(), _queue_size()))

    def begin(self, name: str, trace_parent: str) -> "_Open | None":
        """See Tracing."""
        parent = _sampled(trace_parent)
        kind = trace.SpanKind.INTERNAL if parent else trace.SpanKind.SERVER
        span = self._tracer.start_span(name, parent or Context(), kind)
        return _Open(self, span) if span.is_recording() else None

    def record(self, span: spans.Span, trace_parent: str, span_id: str = "") -> None:
        """See Tracing."""
        if parent := _sampled(trace_parent):
            self._ids.chosen = int(span_id, 16) if span_id else 0
            self.record_below(span, parent)

    def record_below(self, span: spans.Span, parent: Context) -> None:
        """Export a span and its children."""
        made = self._tracer.start_span(
            span.name, parent, _KINDS[span.kind], span.attributes, start_time=_nanoseconds(span.start)
        )
        below = trace.set_span_in_context(made, Context())
        for child in span.children:
            self.record_below(child, below)
        _end(made, span.error, _nanoseconds(span.end))

    async def close(self) -> None:
        """See Tracing."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(closed.set)

        # A daemon, since the SDK waits for up to 30 s, and the process must not.
        threading.Thread(target=shut_down, daemon=True).start()
        await set_within(closed, _CLOSE_SECONDS)


class _Open:
    """Implements `spans.OpenSpan`."""

    def __init__(self, tracing: Otlp, span: trace.Span) -> None:
        self._tracing = tracing
        self._span = span

    @property
    def trace_parent(self) -> str:
        """See OpenSpan."""
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, self._context)
        return carrier["traceparent"]

    def describe(self, attributes: Attributes) -> None:
        """See OpenSpan."""
        self._span.set_attributes(attributes)

    def child(self, span: spans.Span) -> None:
        """See OpenSpan."""
        self._tracing.record_below(span, self._context)

    def end(self, error: str = "") -> None:
        """See OpenSpan."""
        _end(self._span, error)

    @property
    def _context(self) -> Context:
        return trace.set_span_in_context(self._span, Context())


class Seldom(logging.Handler):
    """Passes a record to the root's handlers at most once a minute, with the number of those that it has dropped."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._quiet_until = 0.0
        self._dropped = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now < self._quiet_until:
            self._dropped += 1
            return
        dropped = f" ({self._dropped} more records since the last one)" if self._dropped else ""
        self._quiet_until, self._dropped = now + _QUIET_SECONDS, 0
        record.msg, record.args = record.getMessage() + dropped, None
        logging.getLogger().handle(record)


def _queue_size() -> int:
    """As the specification says: that of the environment, or 2,048."""
    text = os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) else _QUEUE


def _resource(service: str) -> Resource:
    """The environment overrides the name of the service."""
    return Resource.create(Resource({SERVICE_NAME: service}).merge(OTELResourceDetector().detect()).attributes)


def _sampled(trace_parent: str) -> Context | None:
    """The context of a `traceparent`, if it is valid and sampled."""
    context = TraceContextTextMapPropagator().extract({"traceparent": trace_parent})
    return context if trace.get_current_span(context).get_span_context().trace_flags.sampled else None


def _end(span: trace.Span, error: str, end: int | None = None) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(trace.StatusCode.ERROR)
    span.end(end)


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000) * 1000

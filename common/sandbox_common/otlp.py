"""Exports spans to a collector by OTLP over HTTP, with the SDK of OpenTelemetry.

A thread of the SDK sends them in batches from a bounded queue. If the collector is slow or down, the oldest spans are
dropped, and nothing else waits.
"""

import asyncio
import logging
import threading
import time
from contextlib import suppress
from datetime import datetime
from typing import override

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sandbox_common import spans
from sandbox_common.spans import Attributes
from sandbox_common.waiting import set_within

_CLOSE_SECONDS = 3.0
"""At the end of the process, whose grace time also has to be enough for everything else."""
_QUIET_SECONDS = 60.0
_KINDS = {"internal": trace.SpanKind.INTERNAL, "server": trace.SpanKind.SERVER}


class _Ids(RandomIdGenerator):
    """Random ids, unless the next span's id is known already."""

    chosen = 0

    @override
    def generate_span_id(self) -> int:
        chosen, self.chosen = self.chosen, 0
        return chosen or super().generate_span_id()


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
        return cls(service, BatchSpanProcessor(OTLPSpanExporter()))

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

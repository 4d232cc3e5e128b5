"""Tracing whose exported spans stay in memory."""

from dataclasses import dataclass, field

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from sandbox_common.otlp import Otlp

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENDER = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SENDER}-01"


@dataclass
class Exported:
    """What `tracing` has exported, if it samples this share of new traces."""

    ratio: float = 1.0
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def __post_init__(self) -> None:
        self.tracing = Otlp("a-service", SimpleSpanProcessor(self.exporter), ParentBasedTraceIdRatio(self.ratio))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By their names; each name once."""
        spans = {span.name: span for span in self.exporter.get_finished_spans()}
        assert len(spans) == len(self.exporter.get_finished_spans())
        return spans

    def parent_of(self, name: str) -> str:
        """The name of the span above this one, or the id of another service's span; "" for none."""
        parent = self.spans[name].parent
        if parent is None:
            return ""
        names = [known for known, span in self.spans.items() if span.context and span.context.span_id == parent.span_id]
        return names[0] if names else f"{parent.span_id:016x}"

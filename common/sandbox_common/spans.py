"""Spans of traces as data, and what exports them. Nothing of OpenTelemetry is imported unless traces are exported.

The environment variables of OpenTelemetry's specification configure the export. It is on if they name a collector.
"""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

import structlog
from prometheus_client import Counter

from sandbox_crds.models import Sandbox

type Attributes = Mapping[str, str | int | float]

DROPPED_SPANS = Counter(
    "openhands_sandbox_spans_dropped",
    "Spans that were not exported, because the collector was too slow, refused them or could not be reached.",
)
RUNTIME_ID = "openhands.sandbox.runtime_id"

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Span:
    """Something that is over. Its name is one of few. `error` says in one word why it failed."""

    name: str
    start: datetime
    end: datetime
    attributes: Attributes = field(default_factory=dict[str, str | int | float])
    kind: Literal["internal", "server"] = "internal"
    error: str = ""
    children: tuple["Span", ...] = ()


class OpenSpan(Protocol):
    """A sampled span that goes on."""

    @property
    def trace_parent(self) -> str:
        """W3C's `traceparent` for what continues it."""
        ...

    def describe(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def child(self, span: Span) -> None:
        """Export a span below it."""
        ...

    def end(self, error: str = "") -> None:
        """End it, and export it."""
        ...


class Tracing(Protocol):
    """Exports spans, without waiting for anything. Use it only in the thread that made it."""

    def begin(self, name: str, trace_parent: str) -> OpenSpan | None:
        """Begin a span below that of a `traceparent` if that is sampled. Otherwise, sample it as a new trace."""
        ...

    def record(self, span: Span, trace_parent: str, span_id: str = "") -> None:
        """Export a span, and its children, below that of a `traceparent`; nothing if that is not valid and sampled.

        `span_id` is the span's own, in hexadecimal digits, if others know it already.
        """
        ...

    async def close(self) -> None:
        """Export what is left, for at most some seconds."""
        ...


def tracing_from_environment(service: str) -> Tracing | None:
    """What exports spans of this service, if the environment names a collector."""
    environment = os.environ
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or environment.get("OTEL_TRACES_EXPORTER") == "none" or not any(map(environment.get, _ENDPOINTS)):
        return None
    try:
        from sandbox_common.otlp import Otlp
    except ImportError as error:
        _log.error("traces are not exported: install openhands-sandbox[tracing]", error=str(error))
        return None
    return Otlp.to_collector(service)


@contextmanager
def traced(tracing: Tracing | None, name: str, trace_parent: str = "") -> Generator[OpenSpan | None]:
    """A span of what happens inside; None if it is not sampled. It continues a sampled trace."""
    span = tracing.begin(name, trace_parent) if tracing else None
    if span is None:
        yield None
        return
    try:
        yield span
    except BaseException as error:
        span.end(type(error).__name__)
        raise
    span.end()


def attributes_of(sandbox: Sandbox) -> dict[str, str | int | float]:
    """The attributes of a span about a sandbox. They do not include the session id."""
    attributes = {
        RUNTIME_ID: sandbox.metadata.name,
        "openhands.sandbox.class": sandbox.spec.class_name,
        "openhands.sandbox.image": sandbox.spec.image,
        "openhands.sandbox.launch": sandbox.status.launch,
        "k8s.namespace.name": sandbox.metadata.namespace,
    }
    return {name: value for name, value in attributes.items() if value}

"""Spans of calls of the Runtime API that start a sandbox."""

from collections.abc import Generator
from contextlib import contextmanager

from fastapi import Request

from sandbox_common.spans import OpenSpan, Tracing


@contextmanager
def traced(tracing: Tracing | None, name: str, request: Request) -> Generator[OpenSpan | None]:
    """A span of what happens inside; None if it is not sampled. It continues a sampled trace of the client."""
    span = tracing.begin(name, request.headers.get("traceparent", "")) if tracing else None
    if span is None:
        yield None
        return
    try:
        yield span
    except BaseException as error:
        span.end(type(error).__name__)
        raise
    span.end()

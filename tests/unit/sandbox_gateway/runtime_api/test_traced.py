"""The spans of /start and /resume."""

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sandbox_gateway.contract.errors import BeingDeletedError
from unit.exported_spans import SAMPLED, SENDER, Exported
from unit.sandbox_gateway.support import ScriptedService, runtime_api

BODY = {"image": "agent:1", "session_id": "my-session", "environment": {"TOKEN": "a-secret"}}


async def start(service: ScriptedService, exported: Exported, **headers: str) -> httpx.Response:
    async with runtime_api(service, tracing=exported.tracing) as http:
        return await http.post("/start", json=BODY, headers=headers)


async def test_it_tells_the_sandbox_and_no_secret() -> None:
    service, exported = ScriptedService(), Exported()
    assert (await start(service, exported, traceparent=SAMPLED)).status_code == 200
    [(name, span)] = exported.spans.items()
    assert (name, exported.parent_of(name)) == ("start sandbox", SENDER)
    assert dict(span.attributes or {}) == {
        "openhands.sandbox.runtime_id": "sb-a",
        "openhands.sandbox.class": "default",
        "openhands.sandbox.image": "agent:1",
        "openhands.sandbox.status": "running",
    }
    [given] = service.spans
    assert given
    assert span.context
    assert given.trace_parent.split("-")[2] == f"{span.context.span_id:016x}"
    assert not any(secret in span.to_json() for secret in ("my-session", "a-secret", "good"))


async def test_a_resume_has_one_too() -> None:
    service, exported = ScriptedService(), Exported()
    async with runtime_api(service, tracing=exported.tracing) as http:
        answer = await http.post("/resume", json={"runtime_id": "sb-a"}, headers={"traceparent": SAMPLED})
    assert answer.status_code == 200
    assert exported.parent_of("resume sandbox") == SENDER
    assert (exported.spans["resume sandbox"].attributes or {})["openhands.sandbox.runtime_id"] == "sb-a"
    assert len(service.spans) == 1


async def test_without_a_trace_one_begins() -> None:
    exported = Exported()
    await start(ScriptedService(), exported)
    assert exported.parent_of("start sandbox") == ""


async def test_one_that_is_not_sampled_has_no_span() -> None:
    service, exported = ScriptedService(), Exported(ratio=0)
    assert (await start(service, exported)).status_code == 200
    assert (exported.spans, service.spans) == ({}, [None])


async def test_a_refusal_is_an_error() -> None:
    service, exported = ScriptedService(), Exported()
    service.error = BeingDeletedError()
    assert (await start(service, exported)).status_code == 503
    assert (exported.spans["start sandbox"].attributes or {})["error.type"] == "BeingDeletedError"


async def test_fastapi_makes_no_spans_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert trace.get_tracer_provider() is provider
    async with runtime_api(ScriptedService()) as http:
        assert (await http.get("/sessions/my-session")).status_code == 200
    assert not exporter.get_finished_spans()

"""One trace from /start to a sandbox's first answer, over the processes of gateway and operator."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from control_plane.audit import Audit, kinds
from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY, Agent, answer
from control_plane.operator.kubelet import NODE, Kubelet
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.ports import free_port
from sandbox_common.kube import KubeClient
from sandbox_common.times import parse, rfc3339

pytestmark = pytest.mark.usefixtures("api_keys")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{CLIENT}-01"
SESSION, SECRET = "a-private-name", "a-secret-of-the-client"
COLD_START = ["create pods", "create secrets", "patch sandboxes/status"]


@dataclass(frozen=True)
class Received:
    """A span as the collector got it. Ids are hexadecimal, times nanoseconds."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    is_server: bool
    attributes: dict[str, str]


@dataclass
class Collector:
    """A receiver of OTLP over HTTP."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list[bytes])

    @property
    def spans(self) -> list[Received]:
        return [span for body in self.bodies for span in decoded(body)]

    def trace(self, trace_id: str) -> dict[str, Received]:
        """The spans of one trace by name; several of the same name are numbered in order."""
        named: dict[str, Received] = {}
        for span in sorted(self.spans, key=lambda span: span.start):
            if span.trace_id == trace_id:
                number = sum(known.partition(" #")[0] == span.name for known in named)
                named[f"{span.name} #{number + 1}" if number else span.name] = span
        return named


def decoded(body: bytes) -> list[Received]:
    request = ExportTraceServiceRequest.FromString(body)
    received: list[Received] = []
    for of_resource in request.resource_spans:
        resource = {entry.key: entry.value.string_value for entry in of_resource.resource.attributes}
        for span in (span for of_scope in of_resource.scope_spans for span in of_scope.spans):
            received.append(
                Received(
                    resource["service.name"],
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.kind == span.SPAN_KIND_SERVER,
                    {entry.key: entry.value.string_value for entry in span.attributes},
                )
            )
    return received


@asynccontextmanager
async def collecting() -> AsyncGenerator[Collector]:
    collector = Collector()

    async def take(request: web.Request) -> web.Response:
        collector.bodies.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """One to which all processes export."""
    async with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


async def run(kubelet: Kubelet, agent: Agent) -> None:
    """Play node for the next pod: it is scheduled, its image pulled, and its agent server boots within 2 s."""
    [pod] = await eventually(lambda: unbound(kubelet))
    name, made = pod["metadata"]["name"], parse(pod["metadata"]["creationTimestamp"])
    await kubelet.bind(name)
    await kubelet.say(pod, "Pulling", 'Pulling image "i"', made)
    pulled = 'Successfully pulled image "i" in 1s (1s including waiting). Image size: 123 bytes.'
    await kubelet.say(pod, "Pulled", pulled, made + timedelta(seconds=1))
    ready = made + timedelta(seconds=2)
    await asyncio.sleep(max(0.0, (ready - datetime.now(UTC)).total_seconds()))
    times = {"PodScheduled": made, "Ready": ready}
    await kubelet.report(
        name,
        ready=True,
        state={"running": {"startedAt": rfc3339(made + timedelta(seconds=1))}},
        podIP="127.0.0.1",
        podIPs=[{"ip": "127.0.0.1"}],
        conditions=[
            {"type": type_, "status": "True", "lastTransitionTime": rfc3339(time)} for type_, time in times.items()
        ],
    )


async def unbound(kubelet: Kubelet) -> list[dict[str, Any]]:
    return [pod for pod in await kubelet.pods() if "nodeName" not in pod["spec"]]


async def test_a_start_is_one_trace_over_both_processes(
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_key_dir: Path,
    tmp_path: Path,
    agent: Agent,
    collector: Collector,
    audit: Audit,
) -> None:
    await World(client, namespace, "").add_class()
    kubelet, log = Kubelet(client, namespace), tmp_path / "log"
    body = {"image": "i", "command": agent.command, "environment": {"TOKEN": SECRET}}
    async with (
        OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, log),
        serving(control_plane, namespace, master_key_dir) as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=30, headers={"X-API-Key": API_KEY}) as http,
    ):
        starting = asyncio.create_task(
            http.post("/start", json={**body, "session_id": SESSION}, headers={"traceparent": SAMPLED})
        )
        await run(kubelet, agent)
        started = answer(await starting)
        key = started["session_api_key"]
        asked = {"X-Session-API-Key": key, "traceparent": SAMPLED}
        told = (await http.get(f"/traceparent?id={SESSION}", headers=asked)).text
        # The next one begins a trace of its own.
        starting = asyncio.create_task(http.post("/start", json={**body, "session_id": f"{SESSION}-2"}))
        await run(kubelet, agent)
        own = answer(await starting)
        gateway.terminate()
        assert (await gateway.ended())[0] == 0

    trace = collector.trace(TRACE)
    assert {name: (span.service, parent_in(trace, span)) for name, span in trace.items()} == {
        "POST /start": ("sandbox-gateway", CLIENT),
        "start sandbox": ("sandbox-gateway", "POST /start"),
        "create Sandbox": ("sandbox-gateway", "start sandbox"),
        "reconcile": ("sandbox-operator", "start sandbox"),
        "create objects": ("sandbox-operator", "reconcile"),
        "pod": ("sandbox-operator", "start sandbox"),
        "schedule pod": ("sandbox-operator", "pod"),
        "pull image": ("sandbox-operator", "pod"),
        "start containers": ("sandbox-operator", "pod"),
        "boot agent server": ("sandbox-operator", "pod"),
        **written(trace),
        "GET /{}": ("sandbox-gateway", CLIENT),
    }
    in_order = ("start sandbox", "create Sandbox", "create objects", last_status(trace), "GET /{}")
    assert [trace[name].start for name in in_order] == sorted(trace[name].start for name in in_order)
    assert all(span.start <= span.end for span in trace.values())
    assert [seconds(trace[name]) for name in ("pod", "pull image", "boot agent server")] == [2, 1, 1]
    assert trace["start sandbox"].end <= trace["GET /{}"].start
    # What the sandbox does continues the gateway's span.
    assert told == f"00-{TRACE}-{trace['GET /{}'].span_id}-01"
    about = trace["start sandbox"].attributes
    assert about["openhands.sandbox.runtime_id"] == started["runtime_id"]
    assert (about["openhands.sandbox.launch"], about["openhands.sandbox.status"]) == ("Cold", "running")
    assert trace["pod"].attributes["k8s.node.name"] == NODE

    [root] = [span for span in collector.spans if not span.parent_id]
    assert (root.name, root.is_server, root.trace_id == TRACE) == ("start sandbox", True, False)
    assert root.attributes["openhands.sandbox.runtime_id"] == own["runtime_id"]
    assert {"reconcile", "pod", "boot agent server"} <= set(collector.trace(root.trace_id))

    # The context costs no write.
    assert kinds(await audit.writes(client, namespace, "sandbox-gateway")) == [
        *["create sandboxes"] * 2,
        *["create secrets"] * 2,
    ]
    writes = kinds(await audit.writes(client, namespace, "sandbox-operator"))
    assert [kind for kind in writes if kind.startswith("create")] == sorted(COLD_START[:2] * 2)
    exported = b"".join(collector.bodies)
    for secret in (API_KEY, key, own["session_api_key"], SESSION, SECRET):
        assert secret.encode() not in exported


def parent_in(trace: dict[str, Received], span: Received) -> str:
    """The name of the span above this one, or the id of one that is not in the trace."""
    return next((name for name, known in trace.items() if known.span_id == span.parent_id), span.parent_id)


def written(trace: dict[str, Received]) -> dict[str, tuple[str, str]]:
    """The passes that only wrote a status, as many as there are: a start that lasts is reported before it is ready."""
    passes = [name for name in trace if name.startswith("reconcile #")]
    of_pass = [name for name in trace if name.startswith("write status")]
    assert len(of_pass) >= 1
    return dict.fromkeys(passes, ("sandbox-operator", "start sandbox")) | {
        name: ("sandbox-operator", parent_in(trace, trace[name])) for name in of_pass
    }


def last_status(trace: dict[str, Received]) -> str:
    name = [name for name in trace if name.startswith("write status")][-1]
    assert trace[name].attributes["openhands.sandbox.reason"] == "Ready"
    assert parent_in(trace, trace[name]).startswith("reconcile")
    return name


def seconds(span: Received) -> float:
    return (span.end - span.start) / 1e9


async def test_a_collector_that_is_down_is_no_trouble(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    headers = {"X-API-Key": API_KEY, "traceparent": SAMPLED}
    async with serving(control_plane, namespace, master_key_dir) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=20, headers=headers) as http:
            for _ in range(50):
                assert (await http.get("/list")).status_code == 200
                await asyncio.sleep(0.05)
        gateway.terminate()
        code, log = await gateway.ended()
    assert code == 0
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in log.splitlines()]
    assert len([line for line in lines if line["logger"].startswith("opentelemetry")]) == 1

"""What /metrics tells of starts."""

from typing import Any

import httpx
import pytest

from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import view
from sandbox_crds.models import SandboxClassSpec
from sandbox_gateway.process.servers import probes_app
from sandbox_gateway.sandboxes.service import start_result
from unit.sandbox_gateway.support import NOW, sandbox, status

TRAFFIC = ("requests_total", "received_bytes_total", "sent_bytes_total", "added_seconds", "access_log_dropped_total")
READY_AT: dict[str, Any] = {"readyTime": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("before", "found", "result"),
    [
        (None, status(Reason.READY, launch="Warm", **READY_AT), "Warm"),
        (None, status(Reason.READY, launch="Cold", **READY_AT), "Cold"),
        ({}, status(Reason.READY, launch="Cold", **READY_AT), "Cold"),
        (status(Reason.STARTING), status(Reason.READY, launch="Cold", **READY_AT), "Cold"),
        (
            status(Reason.READY, podUID="p0", **READY_AT),
            status(Reason.READY, launch="Resume", podUID="p1", **READY_AT),
            "Resume",
        ),
        (status(Reason.READY, **READY_AT), status(Reason.READY, launch="Warm", **READY_AT), "Running"),
        (None, {}, "Starting"),
        (None, status(Reason.UNSCHEDULABLE), "Starting"),
        (None, status(Reason.INVALID_IMAGE_NAME), "Failed"),
    ],
)
def test_a_start_is_counted_by_what_it_has_come_to(
    before: dict[str, Any] | None, found: dict[str, Any], result: str
) -> None:
    known = None if before is None else sandbox(status=before)
    now = sandbox(status=found)
    assert start_result(known, now, view(now, NOW, reached=True, class_=SandboxClassSpec(), left=False)) == result


async def test_the_port_of_the_probes_has_the_metrics() -> None:
    transport = httpx.ASGITransport(probes_app(lambda: True))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica.test:8081") as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for name in ("starts_total", "start_seconds", "held_calls", "held_requests", "exchanges", "websockets", *TRAFFIC):
        assert f"openhands_sandbox_gateway_{name}" in answer.text

"""The Runtime API while the API server refuses, as it does when a webhook or etcd fails, or too many ask."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.faults import Asked, Fault, FaultProxy, Kind, faulty
from control_plane.gateway.support import Operator, Replica, refusal, replica
from local_cluster.control_plane import ControlPlane
from sandbox_crds.keys import MasterKeys
from sandbox_crds.reasons import Reason

SENTENCE = "The Kubernetes API server is overloaded or unreachable. Retry in {} s."


@pytest.fixture
async def proxied(
    control_plane: ControlPlane, namespace: str, master_keys: MasterKeys, api_keys: None, tmp_path: Path
) -> AsyncIterator[tuple[FaultProxy, Replica]]:
    """A replica behind a proxy; it holds answers for a second, so that a call has four."""
    async with (
        faulty(control_plane, tmp_path) as (proxy, kubeconfig),
        replica(kubeconfig, namespace, master_keys, start_hold_seconds=1) as running,
    ):
        yield proxy, running


def failing(proxy: FaultProxy, fault: Fault, times: int) -> None:
    """Have so many writes of Sandboxes fail, and all after them succeed."""
    left = iter(range(times))

    def plan(what: Asked) -> Fault | None:
        is_write = what.resource == "sandboxes" and what.verb in {"create", "patch", "delete"}
        return fault if is_write and next(left, None) is not None else None

    proxy.plan = plan


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.REFUSE, 500),
        Fault(Kind.REFUSE, 429, retry_after=1),
        Fault(Kind.RESET),
        Fault(Kind.LOSE),
        Fault(Kind.CUT),
    ],
    ids=lambda fault: f"{fault.kind.name.lower()}{fault.code or ''}",
)
async def test_every_call_outlasts_it(proxied: tuple[FaultProxy, Replica], operator: Operator, fault: Fault) -> None:
    proxy, gateway = proxied
    times = 1 if fault.retry_after else 3

    async def call(path: str) -> None:
        failing(proxy, fault, times)
        await gateway.post(path, started["runtime_id"])

    failing(proxy, fault, times)
    started = await gateway.start("s")
    assert started["status"] == "starting"
    [sandbox] = await operator.sandboxes()
    await call("/pause")
    assert (await operator.only())["spec"]["suspend"]
    await operator.report(Reason.SUSPENDED)
    await call("/resume")
    assert not (await operator.only())["spec"]["suspend"]
    await call("/stop")
    assert await operator.sandboxes() == []
    assert sandbox["metadata"]["name"] == started["runtime_id"]


async def test_in_vain(proxied: tuple[FaultProxy, Replica]) -> None:
    proxy, gateway = proxied
    started = await gateway.start("s")
    for fault, seconds in (
        (Fault(Kind.REFUSE, 500), 5),
        (Fault(Kind.RESET), 5),
        (Fault(Kind.REFUSE, 429, retry_after=25), 25),
    ):
        failing(proxy, fault, 10**6)
        calls = [
            gateway.http.post("/start", json={"image": "agent:1", "session_id": "another"}),
            *(gateway.http.post(path, json={"runtime_id": started["runtime_id"]}) for path in ("/pause", "/stop")),
        ]
        for answer in await asyncio.gather(*calls):
            assert refusal(answer, 503) == SENTENCE.format(seconds)
            assert answer.headers["Retry-After"] == str(seconds)

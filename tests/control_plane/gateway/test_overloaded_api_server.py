"""The Runtime API while the API server refuses, as it does when a webhook or etcd fails, or too many ask."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.faults import Asked, Fault, FaultProxy, Kind, faulty
from control_plane.gateway.support import Operator, Replica, answer, refusal, replica
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.specs import PAUSED, RUNNING

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


@pytest.mark.parametrize("path", ["/pause", "/resume", "/start"])
async def test_an_order_whose_answer_is_lost_does_not_undo_what_comes_after_it(
    proxied: tuple[FaultProxy, Replica], operator: Operator, client: KubeClient, namespace: str, path: str
) -> None:
    proxy, gateway = proxied
    started = await gateway.start("s")
    orders, taken_back = (PAUSED, RUNNING) if path == "/pause" else (RUNNING, PAUSED)
    name = started["runtime_id"]

    async def order(spec: Mapping[str, Any]) -> None:
        await gateway.catch_up(await client.patch(SANDBOXES, namespace, name, {"spec": dict(spec)}))

    async def is_carried_out() -> bool:
        return (await operator.only())["spec"]["suspend"] == orders["suspend"]

    await order(taken_back)
    is_taken_back = asyncio.Event()
    first = iter([Fault(Kind.LOSE)])

    def plan(what: Asked) -> Fault | None:
        if is_taken_back.is_set() or (what.verb, what.resource) != ("patch", "sandboxes"):
            return None
        return next(first, Fault(Kind.REFUSE, 503))

    proxy.plan = plan
    fields = {"image": "agent:1", "session_id": "s"} if path == "/start" else {"runtime_id": name}
    call = asyncio.create_task(gateway.http.post(path, json=fields))
    await eventually(is_carried_out)
    await order(taken_back)
    is_taken_back.set()
    assert answer(await call)["status"] == ("starting" if path == "/pause" else "paused")
    assert not await is_carried_out()


async def test_a_start_whose_answer_is_lost_does_not_run_again_what_was_paused_since(
    proxied: tuple[FaultProxy, Replica], operator: Operator, client: KubeClient, namespace: str
) -> None:
    proxy, gateway = proxied
    is_paused = asyncio.Event()
    first = iter([Fault(Kind.LOSE)])

    def plan(what: Asked) -> Fault | None:
        if is_paused.is_set() or (what.verb, what.resource) != ("create", "sandboxes"):
            return None
        return next(first, Fault(Kind.REFUSE, 503))

    proxy.plan = plan
    call = asyncio.create_task(gateway.start("s"))
    name = (await operator.only())["metadata"]["name"]
    await client.patch(SANDBOXES, namespace, name, {"spec": dict(PAUSED)})
    is_paused.set()
    assert (await call)["status"] == "paused"
    assert (await operator.only())["spec"]["suspend"]


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
        for given in await asyncio.gather(*calls):
            assert refusal(given, 503) == SENTENCE.format(seconds)
            assert given.headers["Retry-After"] == str(seconds)

"""One replica of several processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.gateway.process import Process, command, serving
from control_plane.gateway.support import API_KEY, Agent, Operator, answer
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.activity import PATH, decode
from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import Reason

pytestmark = pytest.mark.usefixtures("api_keys")


@pytest.fixture
async def process(control_plane: ControlPlane, namespace: str, master_key_dir: Path) -> AsyncIterator[Process]:
    async with serving(control_plane, namespace, master_key_dir, "--workers=2") as process:
        await eventually(lambda: _both_serve(process))
        yield process


async def _both_serve(process: Process) -> bool:
    return len(await websockets_by_worker(process)) == 2 and await activity_status(process, "wrong") == 401


async def websockets_by_worker(process: Process) -> dict[str, float]:
    families = text_string_to_metric_families((await process.ask("/metrics")).text)
    samples = [sample for family in families if family.name.endswith("_websockets") for sample in family.samples]
    return {sample.labels["worker"]: sample.value for sample in samples}


async def activity_status(process: Process, token: str) -> int:
    return (await process.ask(PATH, token)).status_code


async def start(process: Process, operator: Operator, agent: Agent) -> dict[str, str]:
    """A sandbox that is ready: the answer of /start."""
    async with httpx.AsyncClient(base_url=process.url, timeout=20) as http:
        body = {"image": "i", "session_id": "s", "command": agent.command}
        starting = asyncio.create_task(http.post("/start", json=body, headers={"X-API-Key": API_KEY}))
        await operator.only()
        await operator.report(Reason.READY)
        return answer(await starting)


async def served(url: str, key: str, times: int) -> list[int]:
    """Statuses of so many requests, each on a connection of its own."""

    async def one() -> int:
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            return (await http.get("/health", headers={"X-Session-API-Key": key})).status_code

    return [await one() for _ in range(times)]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]


async def until_gone(pids: list[int]) -> None:
    async def gone() -> bool:
        return not alive(pids)

    await eventually(gone)


def open_sockets(pid: int) -> int:
    return sum(str(entry.readlink()).startswith("socket:") for entry in Path(f"/proc/{pid}/fd").iterdir())


async def test_they_share_the_port_and_answer_as_one(
    process: Process, operator: Operator, agent: Agent, master_keys: MasterKeys
) -> None:
    key = (await start(process, operator, agent))["session_api_key"]
    token = master_keys.internal_token()
    assert set(await served(process.url, key, 40)) == {200}
    assert (await process.ask("/healthz")).status_code == 200
    connections = [await asyncio.open_connection("127.0.0.1", httpx.URL(process.url).port) for _ in range(40)]
    spread = [open_sockets(pid) for pid in process.workers]
    assert sum(spread) >= 40
    assert min(spread) >= 5
    for _, writer in connections:
        writer.close()
    async with httpx.AsyncClient(base_url=process.url, timeout=20) as http:
        await http.get("/api/anything", headers={"X-Session-API-Key": key})
    report = decode((await process.ask(PATH, token)).content)
    assert [use.in_flight for use in report.sandboxes.values()] == [0]
    assert await activity_status(process, "wrong") == 401
    assert (await process.ask(f"{PATH}?within=x", token)).status_code == 422


async def test_one_that_dies_is_replaced_while_the_other_serves(
    process: Process, operator: Operator, agent: Agent, master_keys: MasterKeys
) -> None:
    key, token = (await start(process, operator, agent))["session_api_key"], master_keys.internal_token()
    victim, other = process.workers
    os.kill(victim, signal.SIGKILL)
    await until_gone([victim])
    # What the dead one knew of use is lost, so nobody may be told that there was none.
    assert await activity_status(process, token) == 503
    assert await process.readyz() == 200
    assert (await process.ask("/healthz")).status_code == 200
    assert set(await served(process.url, key, 20)) == {200}
    await eventually(lambda: _both_serve(process))
    assert victim not in process.workers
    assert other in process.workers
    assert len(process.workers) == 2
    assert "gateway worker ended" in process.log


async def test_one_that_hangs_is_told_to_the_liveness_probe(process: Process) -> None:
    victim = process.workers[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        assert (await process.ask("/healthz")).status_code == 503
        assert await process.readyz() == 200
    finally:
        os.kill(victim, signal.SIGCONT)


async def test_sigterm_ends_all(process: Process) -> None:
    workers = process.workers
    process.terminate()
    code, log = await process.ended()
    assert code == 0
    assert log.count("gateway drains") == 2
    assert not alive(workers)


async def test_they_end_with_their_supervisor(process: Process) -> None:
    workers = process.workers
    await process.die()
    await until_gone(workers)


async def test_what_hinders_all_of_them_ends_the_replica(tmp_path: Path, master_key_dir: Path) -> None:
    arguments = ("--workers=2", f"--master-key-dir={master_key_dir}", f"--kubeconfig={tmp_path / 'missing'}")
    async with command(*arguments) as process:
        code, log = await process.ended()
        assert code == 1
        assert "gateway cannot serve" in log
        assert "its own log lines say why" in log

"""Memory of the real processes is that of before, once large sandboxes have gone."""

import asyncio
from pathlib import Path

import httpx
import pytest

from bench.crowd import side_by_side
from bench.memory import large_sandbox, start_body, text
from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY, add_api_key
from control_plane.operator.process import OperatorProcess
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES

_PORT = 60000
_STARTS = 24
_APPLIED = 24
_REFUSED = 10
_LIVES = 0.3
"""Seconds of one that is applied; the operator sees it at least come and go."""
_LEFT = 1.2


async def test_memory_returns_after_deletes(
    control_plane: ControlPlane, client: KubeClient, namespace: str, master_key_dir: Path, tmp_path: Path
) -> None:
    class_ = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": SANDBOX_CLASSES.kind, "metadata": {"name": "default"}}
    await client.create(SANDBOX_CLASSES, namespace, {**class_, "spec": {}})
    await add_api_key(client, namespace, API_KEY, "alice")
    operating = OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, tmp_path / "log")
    async with (
        serving(control_plane, namespace, master_key_dir, "--start-hold-seconds=0") as gateway,
        operating as operator,
        httpx.AsyncClient(base_url=gateway.url, timeout=60, trust_env=False, headers={"X-API-Key": API_KEY}) as http,
    ):

        async def start_and_stop(number: int) -> None:
            started = await http.post("/start", json=start_body(number, _PORT, 64 * 1024))
            stopped = await http.post("/stop", json={"runtime_id": started.json()["runtime_id"]})
            assert stopped.status_code == 200

        async def refuse(_: int) -> None:
            body = {"image": "i", "session_id": "s", "environment": {"A": text(1_100_000)}}
            assert (await http.post("/start", json=body)).status_code == 422

        async def apply_and_delete(number: int) -> None:
            name = (await client.create(SANDBOXES, namespace, large_sandbox(number, _PORT)))["metadata"]["name"]
            await asyncio.sleep(_LIVES)
            await client.delete(SANDBOXES, namespace, name)

        await start_and_stop(_STARTS)
        await apply_and_delete(_APPLIED)
        before = {"operator": operator.resident, "gateway": gateway.resident}
        for work, count in ((start_and_stop, _STARTS), (refuse, _REFUSED), (apply_and_delete, _APPLIED)):
            await side_by_side(work, range(count), at_once=4)

        async def returned() -> bool:
            left = {"operator": operator.resident, "gateway": gateway.resident}
            grown = {name: f"{before[name]:,} to {left[name]:,}" for name in left if left[name] > _LEFT * before[name]}
            last.clear()
            last.update(grown)
            return not grown

        last: dict[str, str] = {}
        try:
            await eventually(returned)
        except TimeoutError:
            pytest.fail(f"memory stays: {last}")

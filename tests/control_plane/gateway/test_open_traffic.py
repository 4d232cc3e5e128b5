"""The data plane goes on while the API server is away, and ends what can have no answer any more."""

import asyncio
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY, Agent, Operator, answer, refusal
from control_plane.link import linked
from local_cluster.control_plane import ControlPlane
from sandbox_common.reasons import Reason

pytestmark = pytest.mark.usefixtures("api_keys")


async def started(http: httpx.AsyncClient, operator: Operator, agent: Agent) -> dict[str, str]:
    body = {"image": "i", "session_id": "s", "command": agent.command}
    starting = asyncio.create_task(http.post("/start", json=body, headers={"X-API-Key": API_KEY}))
    await operator.only()
    await operator.report(Reason.READY)
    return answer(await starting)


async def test_an_api_server_that_is_away_is_not_noticed(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator, agent: Agent, tmp_path: Path
) -> None:
    async with (
        linked(control_plane, tmp_path, "127.0.2.1") as (link, kubeconfig),
        serving(control_plane, namespace, master_key_dir, f"--kubeconfig={kubeconfig}") as process,
        httpx.AsyncClient(base_url=process.url, timeout=20) as http,
    ):
        key = {"X-Session-API-Key": (await started(http, operator, agent))["session_api_key"]}
        url = process.url.replace("http", "ws", 1) + "/sockets/echo"
        async with connect(url, additional_headers=key, proxy=None) as websocket:
            for change in (link.cut, link.mend):
                change()
                # Those need new connections, which the WebSocket proves.
                at_once = [http.get("/health", headers=key) for _ in range(8)]
                assert {answer.status_code for answer in await asyncio.gather(*at_once)} == {200}
                for number in range(50):
                    assert (await http.get("/health", headers=key)).status_code == 200
                    await websocket.send(str(number))
                    assert await websocket.recv() == str(number)
                    await asyncio.sleep(0.05)
        assert await process.readyz() == 200


async def test_a_request_whose_pod_is_gone_is_answered(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator, agent: Agent
) -> None:
    async with (
        serving(control_plane, namespace, master_key_dir) as process,
        httpx.AsyncClient(base_url=process.url, timeout=60) as http,
    ):
        key = {"X-Session-API-Key": (await started(http, operator, agent))["session_api_key"]}
        waiting = asyncio.create_task(http.get("/for-ever", headers=key))
        await agent.asked.wait()
        # Its node is gone, and with it whoever could close the connection; the operator has made another pod.
        await operator.report(Reason.STARTING, podUID="another", podIP="")
        assert "while it worked on this request" in refusal(await waiting, 503)

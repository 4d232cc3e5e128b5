"""A replica whose watch is late meets the clients of another one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from control_plane.gateway.sleeper import echo_agent, listening
from control_plane.gateway.support import API_KEY, Operator, answer, refusal
from control_plane.link import Link, linked
from control_plane.races.lag import lagging
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.reasons import Reason

LAG = 0.3
WARM_POD = "a-pool-abcdefghij"


@pytest.mark.usefixtures("api_keys")
async def test_a_new_sandbox_is_not_gone_there(
    control_plane: ControlPlane,
    namespace: str,
    master_key_dir: Path,
    operator: Operator,
    master_keys: MasterKeys,
    tmp_path: Path,
) -> None:
    async with (
        lagging(control_plane, tmp_path, [LAG]) as kubeconfig,
        listening(control_plane, namespace, master_key_dir=master_key_dir) as first,
        listening(control_plane, namespace, master_key_dir=master_key_dir, kubeconfig=str(kubeconfig)) as late,
        echo_agent() as agent,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        owner, body = {"X-API-Key": API_KEY}, {"image": "i", "session_id": "s", "command": f"a --port {agent.port}"}
        await asyncio.sleep(LAG)  # what follows the late one's own requests at once is not late
        starting = asyncio.create_task(http.post(f"{first}/start", json=body, headers=owner))
        await operator.only()
        await operator.report(Reason.READY, keyID=master_keys.key_id(WARM_POD), launch="Warm", pool="a-pool")
        started = answer(await starting)
        key = {"X-Session-API-Key": started["session_api_key"]}
        url = late.replace("http", "ws", 1) + "/sockets/events/1"

        async def echoes() -> None:
            async with connect(url, additional_headers=key, proxy=None) as websocket:
                await websocket.send("hello")
                assert await websocket.recv() == "hello"

        served, *_ = await asyncio.gather(http.post(f"{late}/a", content=b"body", headers=key), echoes())
        assert (served.status_code, served.content) == (200, b"body"), served.text

        answer(await http.post(f"{first}/stop", json={"runtime_id": started["runtime_id"]}, headers=owner))

        async def ended() -> str | None:
            found = await http.get(f"{late}/a", headers=key)
            return refusal(found, 404) if found.status_code == 404 else None

        assert "has been deleted" in await eventually(ended)


@pytest.mark.parametrize("lose", [Link.cut, Link.strand], ids=["all", "the watch's"])
@pytest.mark.usefixtures("api_keys")
async def test_without_its_connections_it_does_not_say_that_a_new_sandbox_has_been_deleted(
    control_plane: ControlPlane,
    namespace: str,
    master_key_dir: Path,
    operator: Operator,
    tmp_path: Path,
    lose: Callable[[Link], None],
) -> None:
    async with (
        linked(control_plane, tmp_path, "127.0.0.9") as (link, kubeconfig),
        listening(control_plane, namespace, master_key_dir=master_key_dir) as first,
        listening(control_plane, namespace, master_key_dir=master_key_dir, kubeconfig=str(kubeconfig)) as lost,
        echo_agent() as agent,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        # Nothing ends the connection of the watch.
        lose(link)
        body = {"image": "i", "session_id": "s", "command": f"a --port {agent.port}"}
        starting = asyncio.create_task(http.post(f"{first}/start", json=body, headers={"X-API-Key": API_KEY}))
        await operator.only()
        await operator.report(Reason.READY)
        key = {"X-Session-API-Key": answer(await starting)["session_api_key"]}
        found = await http.get(f"{lost}/a", headers=key)
        assert "does not know the sandbox of this session key yet" in refusal(found, 503)
        assert found.headers["Retry-After"]
        link.mend()

        async def is_served() -> bool:
            return (await http.get(f"{lost}/a", headers=key)).status_code == 200

        await eventually(is_served)

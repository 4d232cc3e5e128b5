"""The API server's answer to a gateway comes late: meanwhile the gateway's watch has told what happened since."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.gateway.support import API_KEY, Replica, add_api_key, answer, refusal, replica
from control_plane.naming import runtime_id
from control_plane.races.gateways import OWNER
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES


@pytest.fixture
async def gateway(
    control_plane: ControlPlane, client: KubeClient, namespace: str, master_keys: MasterKeys
) -> AsyncIterator[Replica]:
    """A replica that holds nothing."""
    await add_api_key(client, namespace, API_KEY, OWNER)
    async with replica(
        control_plane.kubeconfig, namespace, master_keys, start_hold_seconds=0, poll_hold_seconds=0
    ) as running:
        yield running


class Late:
    """Keeps the next answer to one method of KubeClient back until `go_on` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        self.came, self.go_on = asyncio.Event(), asyncio.Event()
        original = getattr(KubeClient, method)

        async def late(*args: Any, **options: Any) -> Any:
            answer = await original(*args, **options)
            if not self.came.is_set():
                self.came.set()
                await self.go_on.wait()
            return answer

        monkeypatch.setattr(KubeClient, method, late)


@pytest.mark.parametrize(("method", "path"), [("get", "/resume"), ("create", "/start"), ("patch", "/pause")])
async def test_a_sandbox_that_is_gone_does_not_come_back_to_mind(
    gateway: Replica,
    client: KubeClient,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
) -> None:
    name = runtime_id(OWNER, "s")
    if path != "/start":
        await gateway.start("s")
    late = Late(monkeypatch, method)
    body = {"image": "i", "session_id": "s", "runtime_id": name}
    asking = asyncio.create_task(gateway.http.post(path, json=body))
    await late.came.wait()
    await eventually(lambda: asyncio.sleep(0, gateway.gateway.cache.get(name)))
    await client.delete(SANDBOXES, namespace, name)
    await eventually(lambda: asyncio.sleep(0, gateway.gateway.cache.get(name) is None))
    late.go_on.set()
    if path == "/start":
        # It was answered after the deletion, so it comes after it: there is another sandbox.
        started = answer(await asking)
        assert (await gateway.session("s"))["session_api_key"] == started["session_api_key"]
        return
    refusal(await asking, 404)
    refusal(await gateway.http.get("/sessions/s"), 404)


@pytest.mark.parametrize("path", ["/pause", "/resume", "/stop"])
async def test_who_is_told_that_it_is_gone_is_not_told_afterwards_that_it_is_there(
    gateway: Replica, client: KubeClient, namespace: str, path: str
) -> None:
    name = (await gateway.start("s"))["runtime_id"]
    await gateway.freeze()
    await client.delete(SANDBOXES, namespace, name)
    told = await gateway.http.post(path, json={"runtime_id": name})
    assert told.status_code == (200 if path == "/stop" else 404)
    refusal(await gateway.http.get("/sessions/s"), 404)

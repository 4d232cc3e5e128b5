"""Many sandboxes at once, and one by its name."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY, OTHER_API_KEY, Agent, Operator, Replica, answer
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.reasons import Reason


async def listed(gateway: Replica) -> dict[str, Any]:
    return answer(await gateway.http.get("/list"))


async def batch(gateway: Replica, *ids: str) -> list[dict[str, Any] | None]:
    response = await gateway.http.get("/sessions/batch", params={"ids": list(ids)})
    assert response.status_code == 200, response.text
    entries: list[dict[str, Any] | None] = response.json()
    return entries


async def test_the_list_has_what_starts_and_runs_and_is_the_owners(
    gateway: Replica, operator: Operator, agent: Agent
) -> None:
    assert await listed(gateway) == {"runtimes": [], "total": 0}
    names = {
        session: (await gateway.start(session, command=agent.command))["runtime_id"]
        for session in ("starting", "running", "paused", "failed", "stopped")
    }
    bob = {"X-API-Key": OTHER_API_KEY}
    await gateway.http.post("/start", json={"image": "i", "session_id": "bobs"}, headers=bob)
    await gateway.catch_up(await operator.report(Reason.READY, name=names["running"]))
    await gateway.post("/pause", names["paused"])
    await gateway.catch_up(await operator.report(Reason.CRASH_LOOP_BACK_OFF, name=names["failed"]))
    await gateway.post("/stop", names["stopped"])

    found = await listed(gateway)
    assert found["total"] == 2
    by_session = {entry["session_id"]: entry for entry in found["runtimes"]}
    assert {session: entry["status"] for session, entry in by_session.items()} == {
        "starting": "starting",
        "running": "running",
    }
    assert by_session["running"] == await gateway.session("running")


async def test_the_list_tells_that_one_runs_only_after_the_gateway_has_reached_it(
    gateway: Replica, operator: Operator, agent: Agent
) -> None:
    agent.healthy = False
    await gateway.start("s", command=agent.command)
    await gateway.catch_up(await operator.report(Reason.READY))
    [entry] = (await listed(gateway))["runtimes"]
    assert (entry["status"], entry["pod_status"]) == ("starting", "pending")
    agent.healthy = True
    [entry] = (await listed(gateway))["runtimes"]
    assert (entry["status"], entry["pod_status"]) == ("running", "ready")


async def test_neither_list_nor_batch_asks_the_api_server(gateway: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    for session in ("a", "b"):
        await gateway.start(session)

    async def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the API server was asked")

    for name in ("get", "list", "create", "patch", "delete"):
        monkeypatch.setattr(KubeClient, name, refuse)
    assert [entry["session_id"] for entry in (await listed(gateway))["runtimes"]] == ["a", "b"]
    found = await batch(gateway, "b", "unknown", "a")
    assert [entry and entry["session_id"] for entry in found] == ["b", None, "a"]


async def test_a_batch_has_one_entry_for_each_id(gateway: Replica, operator: Operator) -> None:
    paused = await gateway.start("with/slash?and=more")
    await gateway.start("batch")
    await gateway.post("/pause", paused["runtime_id"])
    await gateway.catch_up(await operator.report(Reason.SUSPENDED, name=paused["runtime_id"]))
    found = await batch(gateway, "unknown", "with/slash?and=more", "", "batch", "batch")
    assert [entry and (entry["session_id"], entry["status"]) for entry in found] == [
        None,
        ("with/slash?and=more", "paused"),
        None,
        ("batch", "starting"),
        ("batch", "starting"),
    ]
    assert found[3] == found[4]
    assert await batch(gateway, "unknown") == [None]
    # Without ids it is a session as any other.
    assert (await gateway.session("batch"))["session_id"] == "batch"


async def test_a_sandbox_by_its_name_is_held_while_it_starts(
    patient: Replica, operator: Operator, agent: Agent
) -> None:
    starting = asyncio.create_task(patient.start("s", command=agent.command))
    runtime_id = (await operator.only())["metadata"]["name"]
    looking = asyncio.create_task(patient.http.get(f"/runtime/{runtime_id}"))
    await asyncio.sleep(0.2)
    assert not looking.done()
    await operator.report(Reason.READY)
    found = answer(await looking)
    assert (found["runtime_id"], found["pod_status"]) == (runtime_id, "ready")
    assert found == await starting


@pytest.mark.usefixtures("api_keys")
async def test_a_long_line_of_ids_passes_the_whole_gateway(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path
) -> None:
    ids = [f"agent-server-{number:036}" for number in range(400)]
    headers = {"X-API-Key": API_KEY}
    async with (
        serving(control_plane, namespace, master_key_dir, "--start-hold-seconds=0") as process,
        httpx.AsyncClient(base_url=process.url, headers=headers, trust_env=False, timeout=20) as http,
    ):
        answer(await http.post("/start", json={"image": "i", "session_id": ids[-1]}))
        response = await http.get("/sessions/batch", params={"ids": ids})
        assert len(response.request.url.raw_path) > 20_000
        assert [entry and entry["session_id"] for entry in response.json()] == [*[None] * 399, ids[-1]]
        # A body that nobody reads does not get into the answer's way.
        refused = await http.post("/build", files={"context": ("context.tar.gz", b"H4sI" * 3 * 1024 * 1024)})
        assert (refused.status_code, "push it to a registry" in refused.json()["detail"]) == (501, True)

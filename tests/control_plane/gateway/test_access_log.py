"""What a gateway writes of its requests, and what not."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from control_plane.gateway.process import Process, serving
from control_plane.gateway.support import API_KEY, Agent, Operator, answer
from local_cluster.control_plane import ControlPlane
from sandbox_common.reasons import Reason

pytestmark = pytest.mark.usefixtures("api_keys")


async def requests_in(process: Process) -> list[dict[str, Any]]:
    """What is written by the end of the process."""
    process.terminate()
    code, log = await process.ended()
    assert code == 0
    return [line for line in map(json.loads, log.splitlines()) if line["event"] == "request"]


async def test_all_requests_without_what_they_carry(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator, agent: Agent
) -> None:
    arguments = ("--workers=2", "--access-log=all", "--audit-log=false")
    async with serving(control_plane, namespace, master_key_dir, *arguments) as process:
        async with httpx.AsyncClient(base_url=process.url, timeout=20, headers={"X-API-Key": API_KEY}) as http:
            body = {"image": "i", "session_id": "a-private-name", "command": agent.command}
            starting = asyncio.create_task(http.post("/start", json=body))
            await operator.only()
            await operator.report(Reason.READY)
            key = answer(await starting)["session_api_key"]
            answer(await http.get("/sessions/a-private-name"))
            await http.get("/api/a-private-name?query=secret", headers={"X-Session-API-Key": key})
            await http.get("/api/a-private-name", headers={"X-Session-API-Key": "a-wrong-key"})
        lines = await requests_in(process)
        told = {(line["route"], line["method"], line["path"], line["status"]) for line in lines}
        assert {
            ("control", "POST", "/start", 200),
            ("control", "GET", "/sessions/{}", 200),
            ("gateway", "GET", "/api/{}", 401),
        } <= told
        assert [line["path"] for line in lines if line["route"] == "sandbox"] == ["/api/{}"]
        assert {line["worker"] for line in lines} <= {"1", "2"}
        for secret in (API_KEY, key, "a-wrong-key", "a-private-name", "query=secret"):
            assert secret not in process.log


async def test_by_default_what_fails(control_plane: ControlPlane, namespace: str, master_key_dir: Path) -> None:
    async with serving(control_plane, namespace, master_key_dir) as process:
        async with httpx.AsyncClient(base_url=process.url, timeout=20) as http:
            assert (await http.get("/list", headers={"X-API-Key": API_KEY})).status_code == 200
            assert (await http.get("/api/x", headers={"X-Session-API-Key": "a-wrong-key"})).status_code == 401
        (line,) = await requests_in(process)
        assert (line["route"], line["path"], line["status"]) == ("gateway", "/api/{}", 401)
        assert "a-wrong-key" not in process.log

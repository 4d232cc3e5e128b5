"""A whole gateway process with its listener, on the real API server, with agent servers on loopback."""

import asyncio
from pathlib import Path

import httpx
import pytest

from control_plane.gateway.process import command, serving
from control_plane.gateway.support import API_KEY, Agent, Operator, answer, refusal
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from local_cluster.ports import free_port
from sandbox_common.reasons import Reason


@pytest.mark.usefixtures("api_keys")
async def test_the_sdks_calls_in_header_mode(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator, agent: Agent
) -> None:
    async with (
        serving(control_plane, namespace, master_key_dir) as process,
        httpx.AsyncClient(base_url=process.url, timeout=20) as http,
    ):
        key = {"X-API-Key": API_KEY}
        refusal(await http.get("/sessions/agent-server-1", headers=key), 404)
        body: dict[str, object] = {
            "image": "agent:1",
            "command": agent.command,
            "working_dir": "/",
            "environment": {},
            "session_id": "agent-server-1",
            "run_as_user": 10001,
            "fs_group": 10001,
            "image_pull_policy": "IfNotPresent",
            "runtime_class": "sysbox-runc",
        }
        starting = asyncio.create_task(http.post("/start", json=body, headers=key))
        await operator.only()
        await operator.report(Reason.READY)
        started = answer(await starting)
        assert started["url"] == process.url
        assert answer(await http.get("/sessions/agent-server-1", headers=key))["pod_status"] == "ready"
        assert (await http.get(f"{started['url']}/health")).status_code == 200

        # From here on the SDK sends both keys with every call, to the sandbox and to the control plane.
        both = {**key, "X-Session-API-Key": started["session_api_key"]}
        probes = agent.probes
        assert (await http.get("/health", headers=both)).status_code == 200
        assert agent.probes == probes + 1
        answer(await http.post("/stop", json={"runtime_id": started["runtime_id"]}, headers=both))
        assert await operator.sandboxes() == []
        refusal(await http.get("/health", headers=both), 404)


@pytest.mark.usefixtures("api_keys")
async def test_host_mode(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator, agent: Agent
) -> None:
    arguments = ("--base-domain=Sandboxes.Test.", "--start-hold-seconds=2")
    async with (
        serving(control_plane, namespace, master_key_dir, *arguments) as process,
        httpx.AsyncClient(base_url=process.url, timeout=20) as http,
    ):
        port = process.url.rpartition(":")[2]
        key = {"X-API-Key": API_KEY}
        environment = {"WORKER_1": str(agent.port), "OH_VSCODE_PORT": "1"}
        body = {"image": "i", "session_id": "s", "command": agent.command, "environment": environment}
        starting = asyncio.create_task(http.post("/start", json=body, headers=key))
        await operator.only()
        await operator.report(Reason.READY)
        started = answer(await starting)
        host = f"{started['runtime_id']}.sandboxes.test:{port}"
        assert started["url"] == f"http://{host}"
        assert started["work_hosts"] == {f"http://work-1-{host}": agent.port, f"http://work-2-{host}": 12001}
        explained = answer(await http.get(f"/explain/{started['runtime_id']}", headers=key))
        assert f"work-1-{started['runtime_id']}.sandboxes.test (port {agent.port})" in explained["remedy"]
        probes = agent.probes
        for served in (host, f"work-1-{host}"):
            assert (await http.get("/health", headers={"Host": served})).status_code == 200
        assert agent.probes == probes + 2
        assert "work-1-" in refusal(await http.get("/", headers={"Host": f"8080-{host}"}), 404)
        assert "OH_ENABLE_VSCODE" in refusal(await http.get("/", headers={"Host": f"vscode-{host}"}), 503)
        await http.post("/pause", json={"runtime_id": started["runtime_id"]}, headers=key)
        assert "paused" in (await http.get("/health", headers={"Host": host})).text


@pytest.mark.usefixtures("api_keys")
async def test_sigterm_lets_held_answers_go_and_exits_cleanly_with_no_key_in_the_log(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator
) -> None:
    async with (
        serving(control_plane, namespace, master_key_dir) as process,
        httpx.AsyncClient(base_url=process.url, timeout=20) as http,
    ):
        body = {"image": "i", "session_id": "s", "environment": {"TOKEN": "hunter2", "OH_SECRET_KEY": "hunter3"}}
        starting = asyncio.create_task(http.post("/start", json=body, headers={"X-API-Key": API_KEY}))
        await operator.only()
        process.terminate()
        started = answer(await starting)
        assert started["status"] == "starting"
        code, log = await process.ended()
    assert code == 0
    for text in (API_KEY, started["session_api_key"], "hunter2", "hunter3", master_key_dir.joinpath("v1").read_text()):
        assert text not in log
    assert "sandbox created" in log


async def test_it_is_not_ready_before_it_has_seen_the_cluster(tmp_path: Path, master_key_dir: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{free_port()}"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{}}}}]
current-context: c
"""
    )
    async with command(f"--kubeconfig={kubeconfig}", f"--master-key-dir={master_key_dir}") as process:

        async def unready() -> bool:
            return await process.readyz() == 503 and "waiting for the Kubernetes API server" in process.log

        await eventually(unready)
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(process.url)
        process.terminate()
        code, _ = await process.ended()
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "--base-domain"),
        (["--start-hold-seconds=60"], 2, "start_hold_seconds"),
        (["--public-url=ftp://x"], 2, "public_url"),
        (["--public-url=http://x/path"], 2, "public_url"),
        (["--base-domain=*.x"], 2, "base_domain"),
        (["--no-such-option=1"], 2, "no-such-option"),
        (["--master-key-dir=/nowhere"], 1, "mount the master key's Secret"),
        (["--kubeconfig=/nowhere"], 1, "/nowhere"),
    ],
)
async def test_a_wrong_setting_ends_it_with_words(
    master_key_dir: Path, arguments: list[str], code: int, words: str
) -> None:
    async with command(f"--master-key-dir={master_key_dir}", *arguments) as process:
        got, log = await process.ended()
    assert (got, words in log) == (code, True), log
    assert "Traceback" not in log

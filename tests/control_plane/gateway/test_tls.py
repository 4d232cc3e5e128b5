"""TLS at the gateway's port as it runs in production: from a mounted Secret, renewed while it serves."""

import asyncio
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from control_plane.gateway.process import Process, command, serving
from control_plane.gateway.support import API_KEY, Agent, Operator, answer
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.reasons import Reason
from unit.sandbox_gateway.mounted_tls import MountedSecret, Pair


@pytest.fixture
def secret(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "tls")


async def shows(process: Process, pair: Pair) -> bool:
    """Whether a new connection is shown this certificate."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(process.url).port, ssl=pair.trusted())
    except ssl.SSLError:
        return False
    writer.close()
    return True


@pytest.mark.usefixtures("api_keys")
async def test_two_workers_renew_the_certificate_under_open_connections(
    control_plane: ControlPlane,
    namespace: str,
    master_key_dir: Path,
    operator: Operator,
    agent: Agent,
    secret: MountedSecret,
    tmp_path: Path,
) -> None:
    old, new = Pair.make(tmp_path), Pair.make(tmp_path)
    secret.store(old.certificate, old.key)
    arguments = (f"--tls-dir={secret.path}", "--workers=2", "--shutdown-grace-seconds=5")
    async with serving(control_plane, namespace, master_key_dir, *arguments) as process:
        url = process.url.replace("http:", "https:")
        with pytest.raises(httpx.TransportError):
            await httpx.AsyncClient(trust_env=False).get(process.url)
        kept = httpx.Limits(keepalive_expiry=300)
        async with httpx.AsyncClient(
            base_url=url, verify=old.trusted(), limits=kept, timeout=20, trust_env=False
        ) as http:
            body = {"image": "i", "session_id": "s", "command": agent.command}
            starting = asyncio.create_task(http.post("/start", json=body, headers={"X-API-Key": API_KEY}))
            await operator.only()
            await operator.report(Reason.READY)
            started = answer(await starting)
            assert started["url"] == url
            key = {"X-Session-API-Key": started["session_api_key"]}
            echo = f"{url.replace('https:', 'wss:')}/sockets/echo"
            async with connect(echo, ssl=old.trusted(), additional_headers=key, proxy=None) as websocket:

                async def both_serve() -> bool:
                    return process.log.count("gateway serves") == 2

                async def usable() -> None:
                    await websocket.send("still here")
                    assert await websocket.recv() == "still here"
                    assert (await http.get("/health", headers=key)).status_code == 200

                await eventually(both_serve)
                secret.store(new.certificate, old.key)

                async def refused() -> bool:
                    return process.log.count("new TLS certificate refused") >= 2

                await eventually(refused)
                assert await shows(process, old)
                await usable()
                secret.store(new.certificate, new.key)

                async def renewed() -> bool:
                    return process.log.count("TLS certificate renewed") >= 2

                await eventually(renewed)
                for _ in range(8):  # whichever worker it is
                    assert await shows(process, new)
                assert not await shows(process, old)
                await usable()
                process.terminate()
                await websocket.wait_closed()
                assert websocket.close_code == 1012
        code, log = await process.ended()
    assert code == 0
    assert log.count("new TLS certificate refused") == 2
    assert "PRIVATE KEY" not in log


async def test_without_a_usable_pair_it_does_not_start(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, secret: MountedSecret, tmp_path: Path
) -> None:
    one, other = Pair.make(tmp_path), Pair.make(tmp_path)
    secret.store(one.certificate, other.key)
    common = (f"--master-key-dir={master_key_dir}", f"--kubeconfig={control_plane.kubeconfig}")
    async with command(*common, f"--namespace={namespace}", f"--tls-dir={secret.path}") as process:
        code, log = await process.ended()
    assert code == 1
    assert "gateway cannot serve" in log
    assert "unencrypted private key as tls.key in the Secret" in log
    assert "Traceback" not in log

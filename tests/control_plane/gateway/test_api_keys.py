"""API keys come and go while the gateway runs."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY, Replica, add_api_key, refusal
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.api_keys import ApiKey, Hash, Policy, encode
from sandbox_common.keys import api_key_hash
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SECRETS
from sandbox_crds.api import API_KEY_LABEL


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"X-API-Key": "wrong"}, {"X-API-Key": API_KEY + " x"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "/sessions/s"), ("POST", "/start"), ("GET", "/nothing")])
async def test_without_a_known_key_every_path_is_401(
    gateway: Replica, headers: dict[str, str], method: str, path: str
) -> None:
    del gateway.http.headers["X-API-Key"]
    detail = refusal(await gateway.http.request(method, path, headers=headers, content=b"{not json"), 401)
    assert "X-API-Key" in detail


async def test_a_key_works_from_its_creation_to_its_deletion(
    gateway: Replica, client: KubeClient, namespace: str
) -> None:
    headers = {"X-API-Key": "brand-new"}

    async def answered(status: int) -> bool:
        return (await gateway.http.get("/sessions/s", headers=headers)).status_code == status

    assert await answered(401)
    name = await add_api_key(client, namespace, "brand-new", "carol")
    await eventually(partial(answered, 404))
    await client.delete(SECRETS, namespace, name)
    await eventually(partial(answered, 401))


async def test_malformed_key_secrets_open_nothing_and_harm_no_others(
    gateway: Replica, client: KubeClient, namespace: str
) -> None:
    digest = api_key_hash("k")
    for index, data in enumerate(
        ({}, {"sha256": digest}, {"owner": "x"}, {"sha256": "k", "owner": "x"}, {"sha256": digest, "owner": "ü"})
    ):
        labels = {API_KEY_LABEL: "true"}
        await client.create(
            SECRETS, namespace, {"metadata": {"name": f"bad-{index}", "labels": labels}, "stringData": data}
        )
    unlabelled = {"metadata": {"name": "unlabelled"}, "stringData": {"sha256": digest, "owner": "x"}}
    await client.create(SECRETS, namespace, unlabelled)
    await add_api_key(client, namespace, "good", "carol")

    async def good() -> httpx.Response | None:
        answer = await gateway.http.get("/sessions/s", headers={"X-API-Key": "good"})
        return answer if answer.status_code == 404 else None

    await eventually(good)
    refusal(await gateway.http.get("/sessions/s", headers={"X-API-Key": "k"}), 401)


async def test_all_gateways_follow_without_a_restart(
    control_plane: ControlPlane, client: KubeClient, namespace: str, master_key_dir: Path
) -> None:
    """A key is made, rotated, expires by itself and is revoked; one that cannot be read is told once in each log."""
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(serving(control_plane, namespace, master_key_dir)) for _ in range(2)
        ]
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=20, trust_env=False))

        async def answered(status: int, key: str) -> bool:
            """Whether both answer so: 404 is for a known key."""
            urls = [f"{gateway.url}/sessions/s" for gateway in gateways]
            answers = [await http.get(url, headers={"X-API-Key": key}) for url in urls]
            return all(answer.status_code == status for answer in answers)

        def data(*hashes: Hash) -> dict[str, str]:
            return encode(ApiKey("ci", "carol", hashes, Policy()))

        metadata = {"labels": {API_KEY_LABEL: "true"}}
        broken = {"sha256": api_key_hash("k"), "owner": "x", "policy": '{"limits": {"running": "the-value"}}'}
        await client.create(SECRETS, namespace, {"metadata": {"name": "broken", **metadata}, "stringData": broken})
        assert await answered(401, "carols-first-key")
        await client.create(
            SECRETS,
            namespace,
            {"metadata": {"name": "ci", **metadata}, "data": data(Hash(api_key_hash("carols-first-key")))},
        )
        await eventually(partial(answered, 404, "carols-first-key"))
        assert await answered(401, "k")

        async def rotate(end: datetime) -> None:
            rotated = data(Hash(api_key_hash("carols-second-key")), Hash(api_key_hash("carols-first-key"), end))
            await client.patch(SECRETS, namespace, "ci", {"data": rotated})

        await rotate(datetime.now(UTC) + timedelta(days=1))
        await eventually(partial(answered, 404, "carols-second-key"))
        assert await answered(404, "carols-first-key")
        # Whoever has learned of the end needs nothing more when it comes.
        end = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
        await rotate(end)
        await eventually(partial(answered, 401, "carols-first-key"))
        assert datetime.now(UTC) >= end
        assert await answered(404, "carols-second-key")

        await client.delete(SECRETS, namespace, "ci")
        await eventually(partial(answered, 401, "carols-second-key"))
        for gateway in gateways:
            told = [line for line in gateway.log.splitlines() if '"broken"' in line]
            assert len(told) == 1
            assert "data.policy.limits.running" in told[0]
            assert not [
                hidden for hidden in ("the-value", api_key_hash("k"), "carols-second-key") if hidden in gateway.log
            ]

"""API keys come and go while the gateway runs."""

from functools import partial

import httpx
import pytest

from control_plane.gateway.support import API_KEY, Replica, add_api_key, refusal
from control_plane.waiting import eventually
from sandbox_crds.api import API_KEY_LABEL
from sandbox_crds.keys import api_key_hash
from sandbox_crds.kube import KubeClient
from sandbox_crds.kube.resources import SECRETS


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

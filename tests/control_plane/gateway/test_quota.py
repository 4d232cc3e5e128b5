"""A cluster that has no room: 429 with its words, and nothing left behind."""

from functools import partial

import pytest

from control_plane.gateway.support import Operator, Replica, refusal
from control_plane.waiting import eventually
from sandbox_common.kube import KubeClient, Resource
from sandbox_common.kube.resources import SECRETS

_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")


async def limit(client: KubeClient, namespace: str, resource: str, count: int) -> None:
    """Allow so many objects, and wait until the API server enforces it."""
    body = {"metadata": {"name": "quota"}, "spec": {"hard": {f"count/{resource}": str(count)}}}
    await client.create(_QUOTAS, namespace, body)

    async def enforced() -> bool:
        quota = await client.get(_QUOTAS, namespace, "quota")
        return bool(quota.get("status", {}).get("used"))

    await eventually(partial(enforced))


@pytest.mark.parametrize("resource", ["sandboxes.sandbox.openhands.dev", "secrets"])
async def test_a_start_beyond_the_quota(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, resource: str
) -> None:
    secrets = len((await client.list(SECRETS, namespace))["items"])
    await limit(client, namespace, resource, secrets if resource == "secrets" else 0)
    body = {"image": "i", "session_id": "s", "environment": {"A": "1"}}
    detail = refusal(await gateway.http.post("/start", json=body), 429)
    assert f"count/{resource}" in detail
    assert await operator.sandboxes() == []
    refusal(await gateway.http.get("/sessions/s"), 404)

"""GET /api/warm-runtime-configs follows the pools of the API server."""

import asyncio
from typing import Any

from control_plane.audit import Audit, kinds
from control_plane.gateway.support import USER_AGENT, Operator, Replica, answer
from control_plane.waiting import eventually
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOX_POOLS


def pool(name: str, **spec: Any) -> dict[str, Any]:
    """A SandboxPool."""
    return {
        "apiVersion": SANDBOX_POOLS.api_version,
        "kind": SANDBOX_POOLS.kind,
        "metadata": {"name": name},
        "spec": {"image": "agent:1", **spec},
    }


async def test_the_configs_are_those_of_the_pools_of_the_gateways_class(
    gateway: Replica, client: KubeClient, namespace: str
) -> None:
    following = asyncio.create_task(gateway.gateway.pools.informer.run())
    try:

        async def told() -> list[dict[str, Any]]:
            return answer(await gateway.http.get("/api/warm-runtime-configs"))["configs"]

        assert await told() == []
        full = {"command": ["serve"], "environment": {"LOG_JSON": "true", "EMPTY": ""}, "workingDir": "/workspace"}
        await client.create(SANDBOX_POOLS, namespace, pool("second", **full))
        await client.create(SANDBOX_POOLS, namespace, pool("another-class", className="large"))
        await client.create(SANDBOX_POOLS, namespace, pool("first", replicas=0))

        async def both() -> bool:
            return len(await told()) == 2

        await eventually(both)
        ids = {"run_as_user": 10001, "run_as_group": 10001, "fs_group": 10001}
        assert await told() == [
            {
                "name": "first",
                "ready": 0,
                "image": "agent:1",
                "command": [],
                "environment": {},
                "working_dir": "",
                **ids,
            },
            {
                "name": "second",
                "ready": 0,
                "image": "agent:1",
                "command": ["serve"],
                "environment": full["environment"],
                "working_dir": "/workspace",
                **ids,
            },
        ]
        await client.delete(SANDBOX_POOLS, namespace, "second")

        async def one() -> bool:
            return [config["name"] for config in await told()] == ["first"]

        await eventually(one)
    finally:
        following.cancel()


async def test_pools_that_are_not_known_are_none(gateway: Replica) -> None:
    # Nothing follows them here, as on a cluster that lacks the resource.
    assert answer(await gateway.http.get("/api/warm-runtime-configs")) == {"configs": []}


async def test_where_no_pool_can_fit_a_key_is_settled_from_the_beginning(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    await client.create(SANDBOX_POOLS, namespace, pool("another-class", className="large"))
    following = asyncio.create_task(gateway.gateway.pools.informer.run())
    try:
        assert answer(await gateway.http.get("/api/warm-runtime-configs"))["configs"] == []
        started = await gateway.start("s")
        assert (await operator.only())["spec"]["warmStart"] == "Never"
        assert started["session_api_key"]
        assert kinds(await audit.writes(client, namespace, USER_AGENT)) == ["create sandboxes"]
    finally:
        following.cancel()

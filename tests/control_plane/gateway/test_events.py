"""Sandboxes followed by server-sent events, through whole gateways on the real API server."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from control_plane.audit import Audit
from control_plane.gateway.neighbours import Town
from control_plane.gateway.process import serving
from control_plane.gateway.sleeper import listening
from control_plane.gateway.sse import events
from control_plane.gateway.support import ADMIN_API_KEY, API_KEY, USER_AGENT, Operator, add_api_key
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339

pytestmark = pytest.mark.usefixtures("api_keys")


async def test_an_owner_follows_its_own_and_an_administrator_all_without_a_request(
    houses: Town, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    alice, bob = houses.alice, houses.bob
    async with AsyncExitStack() as stack:
        of_alice, of_admin, of_bob_by_admin = [
            await stack.enter_async_context(events(houses.replicas[replica], key, **query))
            for replica, key, query in ((0, API_KEY, {}), (1, ADMIN_API_KEY, {}), (1, ADMIN_API_KEY, {"owner": "bob"}))
        ]
        assert of_alice.response.headers["content-type"].startswith("text/event-stream")
        assert (await of_alice.next())[1]["runtime_id"] == alice.name
        assert await of_alice.next() == ("synced", {"total": 1})
        seen = [(await of_admin.next())[1] for _ in range(2)]
        assert {entry["runtime_id"]: entry["owner"] for entry in seen} == {alice.name: "alice", bob.name: "bob"}
        for key in (alice.key, bob.key):
            assert key not in str(seen)
        assert await of_bob_by_admin.until("synced") == {"total": 1}

        earlier = await audit.tally(client, namespace)
        await operator.report(Reason.CRASH_LOOP_BACK_OFF, "It ended.", name=bob.name)
        failed = await of_admin.until("sandbox", reason="CrashLoopBackOff")
        assert (failed["runtime_id"], failed["status"]) == (bob.name, "error")
        await of_bob_by_admin.until("sandbox", reason="CrashLoopBackOff")
        await client.patch(SANDBOXES, namespace, alice.name, {"spec": {"suspend": True, "suspendReason": "Requested"}})
        await of_alice.until("sandbox", status="paused")
        await client.delete(SANDBOXES, namespace, bob.name)
        await client.delete(SANDBOXES, namespace, alice.name)
        await of_alice.until("gone", runtime_id=alice.name)
        assert {data.get("runtime_id", alice.name) for _, data in of_alice.seen} == {alice.name}
        await of_admin.until("gone", runtime_id=bob.name)
        requests = await audit.tally(client, namespace) - earlier
        assert not [what for agent, what in requests if agent == USER_AGENT]


async def test_a_sandbox_becomes_running_when_this_replica_has_reached_it(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, houses: Town
) -> None:
    settings: dict[str, Any] = {"master_key_dir": master_key_dir}
    async with (
        listening(control_plane, namespace, **settings) as replica,
        events(replica, API_KEY) as stream,
    ):
        running = await stream.until("sandbox", status="running")
        assert running["runtime_id"] == houses.alice.name


async def test_a_stream_ends_when_its_key_is_revoked_changed_or_expires(
    houses: Town, client: KubeClient, namespace: str
) -> None:
    url = houses.replicas[0]
    revoked = await add_api_key(client, namespace, "revoked", "carol")
    changed = await add_api_key(client, namespace, "changed", "carol", policy='{"admin": true}')
    end = (datetime.now(UTC) + timedelta(seconds=15)).replace(microsecond=0)
    await add_api_key(client, namespace, "expiring", "carol", expires=rfc3339(end))

    async def known() -> bool:
        for key in ("revoked", "changed", "expiring"):
            async with events(url, key) as stream:
                if stream.response.status_code != 200:
                    return False
        return True

    await eventually(known)
    async with events(url, "revoked") as one, events(url, "changed") as two, events(url, "expiring") as three:
        for stream in (one, two, three):
            await stream.until("synced")
        await client.delete(SECRETS, namespace, revoked)
        await client.patch(SECRETS, namespace, changed, {"stringData": {"policy": "{}"}})
        await one.end()
        await two.end()
        await three.end()
        assert datetime.now(UTC) >= end
    async with events(url, "revoked") as stream:
        assert stream.response.status_code == 401


async def test_a_stream_ends_soon_when_its_replica_ends(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path
) -> None:
    async with serving(control_plane, namespace, master_key_dir, "--shutdown-grace-seconds=30") as process:
        async with events(process.url, API_KEY) as stream:
            await stream.until("synced")
            process.terminate()
            async with asyncio.timeout(20):
                await stream.end()
        code, log = await process.ended()
        assert code == 0
        assert "without completing" not in log
        assert '"verb":"events","status":200' in log


async def test_what_is_refused(houses: Town) -> None:
    url = houses.replicas[0]
    async with events(url, "unknown") as stream:
        assert stream.response.status_code == 401
    async with events(url, API_KEY, owner="bob") as stream:
        assert stream.response.status_code == 403
        assert b"permission admin" in await stream.response.aread()

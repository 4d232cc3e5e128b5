"""Names are keyed, and sandboxes that have other names stay those of their sessions."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from control_plane.gateway.support import Operator, Replica, answer, refusal, replica
from control_plane.naming import runtime_id
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_crds.names import unkeyed_runtime_id

KEYED, UNKEYED = runtime_id("alice", "s"), unkeyed_runtime_id("alice", "s")


@pytest.fixture
async def former(
    control_plane: ControlPlane, namespace: str, master_keys: MasterKeys, api_keys: None
) -> AsyncIterator[Replica]:
    """A replica without a naming key."""
    async with replica(control_plane.kubeconfig, namespace, MasterKeys.of(master_keys.versions)) as running:
        yield running


async def test_a_sandbox_from_before_the_naming_key_stays_its_sessions(
    gateway: Replica, former: Replica, operator: Operator
) -> None:
    started = await former.start("s")
    assert started["runtime_id"] == UNKEYED
    await gateway.catch_up(await operator.report(Reason.READY, podIP=""))
    made = await operator.get(UNKEYED)

    for found in (await gateway.session("s"), await gateway.start("s")):
        assert (found["runtime_id"], found["session_api_key"]) == (UNKEYED, started["session_api_key"])
    batch = await gateway.http.get("/sessions/batch", params={"ids": ["s", "t"]})
    assert [entry and entry["runtime_id"] for entry in batch.json()] == [UNKEYED, None]
    listed = answer(await gateway.http.get("/list"))["runtimes"]
    assert [entry["runtime_id"] for entry in listed] == [UNKEYED]
    assert answer(await gateway.http.get(f"/explain/{UNKEYED}"))["runtime_id"] == UNKEYED

    assert (await gateway.post("/pause", UNKEYED))["status"] == "paused"
    await gateway.catch_up(await operator.report(Reason.SUSPENDED))
    assert (await gateway.start("s"))["runtime_id"] == UNKEYED
    resumed = await operator.only()
    assert (resumed["metadata"]["uid"], resumed["spec"]["suspend"]) == (made["metadata"]["uid"], False)

    await gateway.post("/stop", UNKEYED)
    assert (await gateway.start("s"))["runtime_id"] == KEYED


async def test_a_replica_that_has_not_seen_it_makes_no_second_one(
    gateway: Replica, former: Replica, operator: Operator
) -> None:
    await gateway.freeze()
    await former.start("s")
    assert (await gateway.session("s"))["runtime_id"] == UNKEYED
    assert (await gateway.start("s"))["runtime_id"] == UNKEYED
    assert (await operator.only())["metadata"]["name"] == UNKEYED


async def test_a_replica_without_the_key_uses_what_one_with_the_key_has_made(
    gateway: Replica, former: Replica, operator: Operator
) -> None:
    assert (await gateway.start("s"))["runtime_id"] == KEYED
    await former.catch_up(await operator.only())
    assert (await former.session("s"))["runtime_id"] == KEYED
    assert (await former.start("s"))["runtime_id"] == KEYED
    assert (await operator.only())["metadata"]["name"] == KEYED


async def test_a_start_waits_for_the_end_of_a_sandbox_with_a_former_name(
    gateway: Replica, former: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await former.start("s")
    await client.patch(SANDBOXES, namespace, UNKEYED, {"metadata": {"finalizers": ["tests.example/held"]}})
    await client.delete(SANDBOXES, namespace, UNKEYED)
    body = {"image": "agent:1", "session_id": "s"}
    refusal(await gateway.http.post("/start", json=body), 503)
    refusal(await gateway.http.get("/sessions/s"), 404)
    assert (await operator.only())["metadata"]["name"] == UNKEYED
    await client.patch(SANDBOXES, namespace, UNKEYED, {"metadata": {"finalizers": None}})

    async def gone() -> bool:
        return not await operator.sandboxes()

    await eventually(gone)
    assert (await gateway.start("s"))["runtime_id"] == KEYED


async def test_of_two_sandboxes_of_a_session_all_replicas_use_the_older(
    gateway: Replica, former: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    """As after a rollback to a version that does not know keyed names, and a new upgrade."""
    await gateway.start("s")
    older = await operator.only()
    spec = {"image": "agent:1", "owner": "alice", "sessionID": "s"}
    body: dict[str, Any] = {"apiVersion": SANDBOXES.api_version, "kind": "Sandbox", "metadata": {"name": UNKEYED}}
    newer = await client.create(SANDBOXES, namespace, {**body, "spec": spec})
    # Made within the same second, the first by name counts.
    same = older["metadata"]["creationTimestamp"] == newer["metadata"]["creationTimestamp"]
    wanted = min(KEYED, UNKEYED) if same else KEYED
    for one in (gateway, former):
        await one.catch_up(older)
        await one.catch_up(newer)
        assert (await one.session("s"))["runtime_id"] == (await one.start("s"))["runtime_id"] == wanted
    listed = answer(await gateway.http.get("/list"))["runtimes"]
    assert {entry["runtime_id"] for entry in listed} == {KEYED, UNKEYED}


async def test_neither_a_new_master_key_nor_the_loss_of_the_naming_key_hides_a_sandbox(
    control_plane: ControlPlane, namespace: str, master_keys: MasterKeys, gateway: Replica, operator: Operator
) -> None:
    await gateway.start("s")
    rotated = MasterKeys.of({**master_keys.versions, 2: b"n" * 32}, naming=master_keys.naming)
    other = MasterKeys.of(master_keys.versions, naming=b"another-naming-key-0123456789abcdef")
    for keys in (rotated, other):
        async with replica(control_plane.kubeconfig, namespace, keys) as running:
            assert (await running.session("s"))["runtime_id"] == (await running.start("s"))["runtime_id"] == KEYED
    assert (await operator.only())["metadata"]["name"] == KEYED


async def test_nobody_finds_a_sandbox_by_the_name_that_can_be_computed(gateway: Replica, operator: Operator) -> None:
    await gateway.start("s")
    await gateway.catch_up(await operator.only())
    for path in ("runtime", "explain", "history", "logs"):
        absent = await gateway.http.get(f"/{path}/{unkeyed_runtime_id('alice', 'none')}")
        found = await gateway.http.get(f"/{path}/{UNKEYED}")
        assert (found.status_code, found.content) == (404, absent.content), path

"""A session key that a client has been told never changes, whenever a warm pod is claimed."""

import asyncio
import contextlib
import random
from typing import Any

import pytest

from control_plane.audit import Audit, kinds
from control_plane.gateway.support import USER_AGENT, Agent, Operator, Replica, answer, replica
from control_plane.naming import runtime_id
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason

WARM_POD = "a-pool-abcdefghij"


@pytest.fixture
def warm_key(master_keys: MasterKeys) -> str:
    """The key of the warm pod."""
    return master_keys.session_key(master_keys.key_id(WARM_POD))


def own_key(keys: MasterKeys, sandbox: KubeObject) -> str:
    """The key of a sandbox that has not claimed a warm pod."""
    return keys.session_key(keys.key_id(sandbox["metadata"]["uid"]))


async def test_a_warm_start_tells_the_pods_key_and_is_no_write_more(
    patient: Replica,
    operator: Operator,
    agent: Agent,
    master_keys: MasterKeys,
    warm_key: str,
    client: KubeClient,
    namespace: str,
    audit: Audit,
) -> None:
    starting = asyncio.create_task(patient.start("s", command=agent.command))
    await operator.report(Reason.READY, keyID=master_keys.key_id(WARM_POD), launch="Warm", pool="a-pool")
    started = await starting
    assert (started["pod_status"], started["session_api_key"]) == ("ready", warm_key)
    assert await patient.session("s") == started
    assert patient.gateway.cache.find_by_key_id(master_keys.key_id(WARM_POD)) is not None
    assert kinds(await audit.writes(client, namespace, USER_AGENT)) == ["create sandboxes"]


async def test_a_start_that_is_not_looked_at_in_time_never_gets_a_warm_pod(
    gateway: Replica, operator: Operator, master_keys: MasterKeys, client: KubeClient, namespace: str, audit: Audit
) -> None:
    started = await gateway.start("s")
    sandbox = await operator.only()
    assert sandbox["spec"]["warmStart"] == "Never"
    assert (started["status"], started["session_api_key"]) == ("starting", own_key(master_keys, sandbox))
    assert await gateway.start("s") == started
    assert await gateway.session("s") == started
    assert kinds(await audit.writes(client, namespace, USER_AGENT)) == ["create sandboxes", "patch sandboxes"]


async def test_a_reported_key_is_told_without_a_write(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    starting = asyncio.create_task(gateway.start("s"))
    await operator.report(Reason.UNSCHEDULABLE)
    assert (await starting)["status"] == "starting"
    assert kinds(await audit.writes(client, namespace, USER_AGENT)) == ["create sandboxes"]


async def test_lists_tell_no_key_that_may_change(
    patient: Replica, operator: Operator, master_keys: MasterKeys, warm_key: str
) -> None:
    starting = asyncio.create_task(patient.start("s"))
    sandbox = await operator.only()

    async def told() -> list[str]:
        listed = answer(await patient.http.get("/list"))["runtimes"]
        batch: list[dict[str, Any]] = (await patient.http.get("/sessions/batch?ids=s")).json()
        return [entry["session_api_key"] for entry in (*listed, *batch)]

    await patient.catch_up(sandbox)
    assert await told() == ["", ""]
    await patient.catch_up(await operator.report(Reason.STARTING, keyID=master_keys.key_id(WARM_POD)))
    assert await told() == [warm_key, warm_key]
    await operator.report(Reason.INVALID_IMAGE_NAME, keyID=master_keys.key_id(WARM_POD))
    assert (await starting)["session_api_key"] == warm_key


@pytest.mark.parametrize("ask", ["/pause", "/resume"])
async def test_an_answer_to_pause_and_resume_has_a_key_that_stays(
    patient: Replica, gateway: Replica, operator: Operator, master_keys: MasterKeys, ask: str
) -> None:
    starting = asyncio.create_task(patient.start("s"))
    sandbox = await operator.only()
    told = await gateway.post(ask, sandbox["metadata"]["name"])
    assert told["session_api_key"] == own_key(master_keys, sandbox)
    await operator.report(Reason.SUSPENDED if ask == "/pause" else Reason.INVALID_IMAGE_NAME)
    assert (await starting)["session_api_key"] == told["session_api_key"]


async def report_key(client: KubeClient, namespace: str, name: str, keys: MasterKeys, claim_seconds: float) -> None:
    """Report a warm pod's key, or the sandbox's own one once that is pinned, as the operator does."""
    while True:
        sandbox = await client.get(SANDBOXES, namespace, name)
        warm = sandbox["spec"]["warmStart"] == "Allowed"
        # Meanwhile the pod is claimed, and the gateway may pin the key.
        await asyncio.sleep(claim_seconds)
        status = {"keyID": keys.key_id(f"pod-of-{name}" if warm else sandbox["metadata"]["uid"])}
        body = {"metadata": {"resourceVersion": sandbox["metadata"]["resourceVersion"]}, "status": status}
        try:
            await client.patch(SANDBOXES, namespace, name, body, subresource="status")
            return
        except ApiError as error:
            if error.code != 409:
                raise


@pytest.mark.parametrize("seed", range(4))
async def test_no_two_keys_are_told_whenever_a_pod_is_claimed(
    control_plane: ControlPlane,
    namespace: str,
    master_keys: MasterKeys,
    gateway: Replica,
    client: KubeClient,
    seed: int,
) -> None:
    rng = random.Random(seed)

    async def keys_told(session: str, claimed_after: float, replicas: list[Replica]) -> tuple[set[str], str]:
        name = runtime_id("alice", session)
        told: list[str] = []

        async def ask(delay: float) -> None:
            await asyncio.sleep(delay)
            one = rng.choice(replicas)
            match rng.choice(["start", "session", "batch", "pause and start"]):
                case "start":
                    found = [await one.start(session)]
                case "session":
                    found = [await one.session(session)]
                case "batch":
                    batch = (await one.http.get("/sessions/batch", params={"ids": session})).json()
                    found = [entry for entry in batch if entry]
                case _:
                    found = [await one.post("/pause", name), await one.start(session)]
            told.extend(entry["session_api_key"] for entry in found)

        async def claim() -> None:
            await asyncio.sleep(claimed_after)
            await report_key(client, namespace, name, master_keys, rng.uniform(0, 0.05))

        starting = asyncio.create_task(gateway.start(session))
        await eventually(lambda: _is_there(client, namespace, name))
        delays = [rng.uniform(0, 0.6) for _ in range(6)]
        await asyncio.gather(claim(), *(ask(delay) for delay in delays))
        told.append((await starting)["session_api_key"])
        told += [(await one.session(session))["session_api_key"] for one in replicas]
        stored = await client.get(SANDBOXES, namespace, name)
        return set(told) - {""}, master_keys.session_key(stored["status"]["keyID"])

    async with replica(control_plane.kubeconfig, namespace, master_keys) as second:
        replicas = [gateway, second]
        moments = [0.0, 0.8, *(rng.uniform(0.1, 0.4) for _ in range(10))]
        found = await asyncio.gather(
            *(keys_told(f"s{number}", moment, replicas) for number, moment in enumerate(moments))
        )
    assert [told for told, _ in found] == [{key} for _, key in found]


async def _is_there(client: KubeClient, namespace: str, name: str) -> bool:
    with contextlib.suppress(ApiError):
        await client.get(SANDBOXES, namespace, name)
        return True
    return False

"""Start, look, pause, resume and stop against a real API server."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from control_plane.audit import Audit, kinds
from control_plane.gateway.support import API_KEY, OTHER_API_KEY, USER_AGENT, Agent, Operator, Replica, refusal, replica
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys, api_key_hash
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES, SECRETS
from sandbox_common.reasons import Reason
from sandbox_crds.api import API_KEY_LABEL


async def test_an_unknown_session_is_404_at_once(patient: Replica) -> None:
    assert "no such sandbox" in refusal(await patient.http.get("/sessions/never-heard-of"), 404)


async def test_start_makes_one_sandbox_and_answers_while_it_is_pending(gateway: Replica, operator: Operator) -> None:
    body = await gateway.start("s", command="server --port 1234", runtime_class="sysbox-runc", resource_factor=4)
    assert (body["status"], body["pod_status"]) == ("starting", "pending")
    assert [name for name, value in body.items() if value is None] == ["status_detail"]
    sandbox = await operator.only()
    assert sandbox["metadata"]["name"] == body["runtime_id"]
    spec = sandbox["spec"]
    assert (spec["owner"], spec["sessionID"], spec["image"]) == ("alice", "s", "agent:1")
    assert (spec["command"], spec["runtimeClassName"]) == (["server", "--port", "1234"], "sysbox-runc")
    assert (spec["resourceFactor"], spec["service"], spec["className"]) == (4, "None", "default")
    assert (spec["runAsUser"], spec["runAsGroup"], spec["fsGroup"]) == (10001, 10001, 10001)

    again = await gateway.start("s")
    assert again == body
    assert len(await operator.sandboxes()) == 1


async def test_start_followed_at_once_by_a_look_finds_it(gateway: Replica) -> None:
    started = await gateway.start("s")
    assert (await gateway.session("s"))["runtime_id"] == started["runtime_id"]


async def test_both_answers_are_held_until_the_sandbox_is_ready(
    patient: Replica, operator: Operator, agent: Agent, master_keys: MasterKeys
) -> None:
    starting = asyncio.create_task(patient.start("s", command=agent.command))
    sandbox = await operator.only()
    polling = asyncio.create_task(patient.session("s"))
    await asyncio.sleep(0.2)
    assert not starting.done()
    assert not polling.done()

    key_id = master_keys.key_id(sandbox["metadata"]["uid"])
    async with asyncio.timeout(5):
        await operator.report(Reason.READY, keyID=key_id)
        started, polled = await starting, await polling
    assert started == polled
    assert (started["status"], started["pod_status"], started["events"]) == ("running", "ready", [])
    assert started["session_api_key"] == master_keys.session_key(key_id)
    assert started["url"] == "http://gateway.test:8080"


async def test_ready_is_told_only_after_the_agent_server_has_answered_and_it_is_asked_once(
    gateway: Replica, operator: Operator, agent: Agent
) -> None:
    agent.healthy = False
    await gateway.start("s", command=agent.command)
    await operator.report(Reason.READY)
    body = await gateway.session("s")
    assert (body["status"], body["pod_status"]) == ("starting", "pending")
    assert agent.probes >= 2
    agent.healthy = True
    assert (await gateway.session("s"))["pod_status"] == "ready"
    probes = agent.probes
    assert (await gateway.session("s"))["pod_status"] == "ready"
    assert agent.probes == probes


async def test_pause_and_resume_keep_url_and_key(patient: Replica, operator: Operator, agent: Agent) -> None:
    starting = asyncio.create_task(patient.start("s", command=agent.command))
    await operator.only()
    await operator.report(Reason.READY)
    started = await starting
    runtime_id = started["runtime_id"]

    pausing = asyncio.create_task(patient.post("/pause", runtime_id))
    await _suspended(operator, True)
    await operator.report(Reason.SUSPENDING)
    assert not pausing.done()
    await operator.report(Reason.SUSPENDED)
    paused = await pausing
    assert (paused["status"], paused["pod_status"]) == ("paused", "not found")
    assert (await patient.session("s"))["status"] == "paused"

    resuming = asyncio.create_task(patient.post("/resume", runtime_id))
    await _suspended(operator, False)
    await asyncio.sleep(0.1)
    assert not resuming.done()
    await operator.report(Reason.READY)
    resumed = await resuming
    assert (resumed["status"], resumed["pod_status"]) == ("running", "ready")
    for name in ("runtime_id", "url", "session_api_key"):
        assert resumed[name] == started[name]


async def test_after_a_resume_the_old_pods_readiness_counts_no_more(
    gateway: Replica, operator: Operator, agent: Agent
) -> None:
    runtime_id = (await gateway.start("s", command=agent.command))["runtime_id"]
    await operator.report(Reason.READY)
    assert (await gateway.session("s"))["pod_status"] == "ready"
    # The operator has not seen either change: its condition still says Ready.
    await gateway.post("/pause", runtime_id)
    assert (await gateway.post("/resume", runtime_id))["pod_status"] == "pending"
    assert (await gateway.session("s"))["pod_status"] == "pending"


async def test_resume_of_a_running_sandbox_is_no_write(
    gateway: Replica, operator: Operator, agent: Agent, client: KubeClient, namespace: str, audit: Audit
) -> None:
    runtime_id = (await gateway.start("s", command=agent.command))["runtime_id"]
    await operator.report(Reason.READY)
    before = await audit.writes(client, namespace, USER_AGENT)
    assert (await gateway.post("/resume", runtime_id))["pod_status"] == "ready"
    assert await audit.writes(client, namespace, USER_AGENT) == before


async def test_start_on_a_paused_session_resumes_it(gateway: Replica, operator: Operator) -> None:
    runtime_id = (await gateway.start("s"))["runtime_id"]
    await gateway.post("/pause", runtime_id)
    await operator.report(Reason.SUSPENDED)
    body = await gateway.start("s")
    assert (body["runtime_id"], body["status"]) == (runtime_id, "starting")
    assert not (await operator.only())["spec"]["suspend"]


async def test_stop_deletes_it_and_is_404_from_then_on(gateway: Replica, operator: Operator) -> None:
    runtime_id = (await gateway.start("s"))["runtime_id"]
    assert (await gateway.post("/stop", runtime_id))["status"] == "stopped"
    assert await operator.sandboxes() == []
    refusal(await gateway.http.get("/sessions/s"), 404)
    for path in ("/stop", "/pause", "/resume"):
        refusal(await gateway.http.post(path, json={"runtime_id": runtime_id}), 404)


async def test_start_right_after_stop_makes_a_new_one_with_a_new_key(gateway: Replica, operator: Operator) -> None:
    old = await gateway.start("s")
    await gateway.post("/stop", old["runtime_id"])
    new = await gateway.start("s")
    assert new["runtime_id"] == old["runtime_id"]
    assert new["session_api_key"] != old["session_api_key"]
    assert (await gateway.session("s"))["session_api_key"] == new["session_api_key"]
    assert len(await operator.sandboxes()) == 1


async def test_start_waits_for_an_old_one_that_is_still_being_deleted(
    patient: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    old = await with_finalizer(patient, operator, client, namespace)
    await patient.post("/stop", old["runtime_id"])
    refusal(await patient.http.get("/sessions/s"), 404)
    starting = asyncio.create_task(patient.start("s"))
    await asyncio.sleep(0.5)
    assert not starting.done()
    uid = (await operator.only())["metadata"]["uid"]
    await client.patch(SANDBOXES, namespace, old["runtime_id"], {"metadata": {"finalizers": None}})

    async def replaced() -> bool:
        return (await operator.only())["metadata"]["uid"] != uid

    await eventually(replaced)
    await operator.report(Reason.INVALID_IMAGE_NAME)
    assert (await starting)["session_api_key"] != old["session_api_key"]


async def test_a_deletion_that_takes_too_long_is_told(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    old = await with_finalizer(gateway, operator, client, namespace)
    await gateway.post("/stop", old["runtime_id"])
    refused = await gateway.http.post("/start", json={"image": "i", "session_id": "s"})
    assert "still being deleted" in refusal(refused, 503)
    await client.patch(SANDBOXES, namespace, old["runtime_id"], {"metadata": {"finalizers": None}})
    await gateway.start("s")


async def with_finalizer(replica: Replica, operator: Operator, client: KubeClient, namespace: str) -> dict[str, Any]:
    """A session whose Sandbox does not go away when it is deleted."""
    starting = asyncio.create_task(replica.start("s"))
    sandbox = await operator.only()
    body = {"metadata": {"finalizers": ["test.example/hold"]}}
    await client.patch(SANDBOXES, namespace, sandbox["metadata"]["name"], body)
    await operator.report(Reason.INVALID_IMAGE_NAME)
    return await starting


async def test_a_failed_sandbox_gets_another_pod_and_keeps_its_key(gateway: Replica, operator: Operator) -> None:
    old = await gateway.start("s")
    uid = (await operator.only())["metadata"]["uid"]
    await operator.report(Reason.CRASH_LOOP_BACK_OFF, "exit code 1", restartCount=5)
    failed = await gateway.session("s")
    assert (failed["status"], failed["pod_status"], failed["restart_count"]) == ("error", "failed", 5)
    assert failed["pod_logs"] == "CrashLoopBackOff: exit code 1"

    new = await gateway.start("s", image="agent:2")
    assert new["status"] == "starting"
    assert new["session_api_key"] == old["session_api_key"]
    sandbox = await operator.only()
    assert (sandbox["metadata"]["uid"], sandbox["spec"]["image"]) == (uid, "agent:2")


async def test_a_sandbox_that_waits_in_its_owners_queue_is_never_replaced(gateway: Replica, operator: Operator) -> None:
    """Also when it has waited for so long that it is reported as failed: then the next client has all of its time
    again. What else is asked for, it will start with."""
    await gateway.start("s")
    since = "2026-11-27T12:00:00Z"
    queued = await operator.report(Reason.QUEUED, "Limit running=1", ago=300, firstReadyTime=since, startingSince=since)
    await gateway.catch_up(queued)
    failed = await gateway.session("s")
    assert (failed["pod_status"], "Place 1 of 1 in the queue. Not ready after 285 s" in failed["pod_logs"]) == (
        "failed",
        True,
    )
    assert (await gateway.start("s"))["pod_status"] == "pending"
    waits = await operator.only()
    assert waits["metadata"]["uid"] == queued["metadata"]["uid"]
    differing = {name for name, value in waits["spec"].items() if queued["spec"].get(name) != value}
    assert differing == {"restartedAt"}
    await gateway.catch_up(await operator.report(Reason.QUEUED, "Limit running=1"))
    await gateway.start("s", image="agent:2", environment={"TOKEN": "another"})
    changed = await operator.only()
    assert changed["metadata"]["uid"] == queued["metadata"]["uid"]
    assert (changed["spec"]["image"], len(changed["spec"]["environmentHash"])) == ("agent:2", 64)


async def test_a_failed_sandbox_is_kept_when_its_owner_may_start_none(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    await gateway.start("s")
    await operator.report(Reason.CRASH_LOOP_BACK_OFF, "exit code 1")
    before = await operator.only()
    [secret] = [
        item["metadata"]["name"]
        for item in (await client.list(SECRETS, namespace, labelSelector=f"{API_KEY_LABEL}=true"))["items"]
        if item["data"]["sha256"] == base64.b64encode(api_key_hash(API_KEY).encode()).decode()
    ]
    await client.patch(SECRETS, namespace, secret, {"stringData": {"policy": '{"limits": {"startsPerMinute": 0}}'}})

    async def followed() -> bool:
        return gateway.gateway.api_keys.limits_of("alice").starts_per_minute == 0

    await eventually(followed)
    answer = await gateway.http.post("/start", json={"image": "agent:2", "session_id": "s"})
    assert "limit startsPerMinute=0" in refusal(answer, 429)
    assert await operator.only() == before


async def test_a_start_that_is_held_up_fails_when_its_client_s_time_is_over(
    patient: Replica, operator: Operator
) -> None:
    starting = asyncio.create_task(patient.start("s", environment={"OHSB_PENDING_TIMEOUT_SECONDS": "10"}))
    made = await operator.only()
    assert made["spec"]["pendingTimeoutSeconds"] == 10
    began = (datetime.now(UTC) - timedelta(seconds=9)).isoformat()
    await operator.report(Reason.UNSCHEDULABLE, "no node", startingSince=began)
    await asyncio.sleep(0.1)
    assert not starting.done()
    body = await starting
    assert (body["status"], body["pod_status"]) == ("error", "failed")
    assert body["pod_logs"] == "Unschedulable: Not ready after 10 s (pendingTimeoutSeconds): no node"


async def test_a_client_that_waits_longer_is_heard_while_something_holds_the_start_up(
    gateway: Replica, operator: Operator
) -> None:
    await gateway.start("s")
    await gateway.catch_up(await operator.report(Reason.UNSCHEDULABLE, "no node"))
    await gateway.start("s", pending_timeout_seconds=600)
    assert (await operator.only())["spec"]["pendingTimeoutSeconds"] == 600
    before = await operator.only()
    await gateway.start("s", pending_timeout_seconds=600)
    await gateway.start("s")
    assert await operator.only() == before


async def test_another_owners_sandbox_does_not_exist(gateway: Replica, operator: Operator) -> None:
    runtime_id = (await gateway.start("s"))["runtime_id"]
    before = await operator.only()
    bob = {"X-API-Key": OTHER_API_KEY}
    missing = refusal(await gateway.http.get("/sessions/none", headers=bob), 404)
    for path in ("/sessions/s", f"/runtime/{runtime_id}", f"/explain/{runtime_id}"):
        assert refusal(await gateway.http.get(path, headers=bob), 404) == missing
    for path in ("/stop", "/pause", "/resume"):
        assert refusal(await gateway.http.post(path, json={"runtime_id": runtime_id}, headers=bob), 404) == missing
    assert (await gateway.http.get("/sessions/batch?ids=s", headers=bob)).json() == [None]
    assert (await gateway.http.get("/list", headers=bob)).json() == {"runtimes": [], "total": 0}
    assert await operator.only() == before

    same_session = {"image": "i", "session_id": "s"}
    other = (await gateway.http.post("/start", json=same_session, headers=bob)).json()
    assert other["runtime_id"] != runtime_id


async def test_twenty_starts_at_once_through_two_replicas_make_one_sandbox(
    control_plane: ControlPlane, namespace: str, master_keys: MasterKeys, gateway: Replica, operator: Operator
) -> None:
    async with replica(control_plane.kubeconfig, namespace, master_keys) as second:
        environment = {"TOKEN": "t"}
        starts = [(gateway, second)[n % 2].start("s", environment=environment) for n in range(20)]
        bodies = await asyncio.gather(*starts)
    assert len({body["session_api_key"] for body in bodies}) == 1
    assert len(await operator.sandboxes()) == 1


async def test_a_replica_whose_watches_lag_does_the_right_thing(
    control_plane: ControlPlane, namespace: str, master_keys: MasterKeys, gateway: Replica, operator: Operator
) -> None:
    async with replica(control_plane.kubeconfig, namespace, master_keys) as lagging:
        await lagging.freeze()
        started = await gateway.start("s")
        runtime_id = started["runtime_id"]
        assert await lagging.session("s") == started

        await gateway.post("/pause", runtime_id)
        await lagging.post("/resume", runtime_id)
        assert not (await operator.only())["spec"]["suspend"]
        await gateway.post("/pause", runtime_id)
        assert (await lagging.start("s"))["status"] == "starting"
        assert not (await operator.only())["spec"]["suspend"]

        await gateway.post("/stop", runtime_id)
        second = await lagging.start("s")
        assert second["session_api_key"] != started["session_api_key"]
        await gateway.post("/stop", runtime_id)
        await gateway.start("s")
        # It means the present sandbox of this id, not the one that it remembers.
        await lagging.post("/stop", runtime_id)
        assert await operator.sandboxes() == []
        for path in ("/pause", "/resume", "/stop"):
            refusal(await lagging.http.post(path, json={"runtime_id": runtime_id}), 404)


async def test_writes_stay_in_the_budget(
    patient: Replica, operator: Operator, agent: Agent, client: KubeClient, namespace: str, audit: Audit
) -> None:
    async def written() -> list[str]:
        return kinds(await audit.writes(client, namespace, USER_AGENT))

    refusal(await patient.http.get("/sessions/s"), 404)
    assert await written() == []
    starting = asyncio.create_task(patient.start("s", command=agent.command, environment={"A": "1"}))
    await operator.report(Reason.READY)
    runtime_id = (await starting)["runtime_id"]
    budget = ["create sandboxes", "create secrets"]
    assert await written() == budget
    for _ in range(3):
        await patient.session("s")
    await patient.start("s", command=agent.command, environment={"A": "1"})
    assert await written() == budget
    pausing = asyncio.create_task(patient.post("/pause", runtime_id))
    await _suspended(operator, True)
    await operator.report(Reason.SUSPENDED)
    await pausing
    await patient.post("/pause", runtime_id)
    assert await written() == [*budget, "patch sandboxes"]
    resuming = asyncio.create_task(patient.post("/resume", runtime_id))
    await _suspended(operator, False)
    await operator.report(Reason.READY)
    await resuming
    await patient.post("/resume", runtime_id)
    assert await written() == [*budget, "patch sandboxes", "patch sandboxes"]
    await patient.post("/stop", runtime_id)
    assert await written() == [*budget, "delete sandboxes", "patch sandboxes", "patch sandboxes"]


async def _suspended(operator: Operator, wanted: bool) -> None:
    async def seen() -> bool:
        return (await operator.only())["spec"].get("suspend", False) is wanted

    await eventually(seen)

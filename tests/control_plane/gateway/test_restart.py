"""/start and /resume of a session that is there: its volume never goes; what /start asks for is applied, or named."""

import asyncio
from typing import Any

import pytest

from control_plane.audit import Audit, kinds
from control_plane.gateway.support import (
    OTHER_API_KEY,
    USER_AGENT,
    Agent,
    Operator,
    Replica,
    answer,
    environment_of,
    refusal,
)
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import EVENTS, SANDBOXES, SECRETS
from sandbox_common.reasons import Reason
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.names import environment_secret_name

ENVIRONMENT = {"TOKEN": "t"}
STARTED = "2026-01-02T03:04:05Z"


async def failed(gateway: Replica, operator: Operator, **status: Any) -> tuple[dict[str, Any], KubeObject]:
    """A session that has failed, as its client and as the API server know it."""
    started = await gateway.start("s", environment=ENVIRONMENT, image="agent:1", idle_timeout_seconds=60)
    sandbox = await operator.report(Reason.CRASH_LOOP_BACK_OFF, "exit code 1", startTime=STARTED, **status)
    await gateway.catch_up(sandbox)
    return started, sandbox


async def test_one_that_was_ready_before_is_given_a_new_pod_as_the_request_asks(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    old, sandbox = await failed(gateway, operator, firstReadyTime=STARTED)
    written = len(await audit.writes(client, namespace, USER_AGENT))
    new = await gateway.start("s", environment=ENVIRONMENT, image="agent:2", resource_factor=2, command="a b")
    assert (new["status"], new["pod_status"]) == ("starting", "pending")
    for name in ("runtime_id", "url", "session_api_key"):
        assert new[name] == old[name]
    restarted = await operator.only()
    assert restarted["metadata"]["uid"] == sandbox["metadata"]["uid"]
    spec = restarted["spec"]
    assert (spec["image"], spec["resourceFactor"], spec["command"]) == ("agent:2", 2, ["a", "b"])
    assert spec["restartedAt"] > STARTED
    assert "idleTimeoutSeconds" not in spec
    assert spec["environmentHash"] == sandbox["spec"]["environmentHash"]
    writes = (await audit.writes(client, namespace, USER_AGENT))[written:]
    assert kinds(writes) == ["patch sandboxes"]


async def test_one_that_was_never_ready_keeps_its_key_too(gateway: Replica, operator: Operator) -> None:
    old, sandbox = await failed(gateway, operator)
    new = await gateway.start("s", environment=ENVIRONMENT)
    assert new["session_api_key"] == old["session_api_key"]
    restarted = await operator.only()
    assert restarted["metadata"]["uid"] == sandbox["metadata"]["uid"]
    assert restarted["spec"]["restartedAt"] > STARTED


@pytest.mark.parametrize("reason", [Reason.CRASH_LOOP_BACK_OFF, Reason.IMAGE_PULL_BACK_OFF, Reason.QUOTA_EXCEEDED])
@pytest.mark.parametrize("ready", ["", STARTED])
@pytest.mark.parametrize("environment", [{}, {"TOKEN": "other"}])
async def test_another_environment_costs_no_sandbox(
    gateway: Replica,
    operator: Operator,
    client: KubeClient,
    environment: dict[str, str],
    ready: str,
    reason: Reason,
) -> None:
    old, sandbox = await failed(gateway, operator)
    report = await operator.report(reason, ago=1000, startTime=STARTED, startingSince=STARTED, firstReadyTime=ready)
    await gateway.catch_up(report)
    new = await gateway.start("s", environment=environment)
    assert (new["status"], new["events"][0]["type"]) == ("starting", "Normal")
    assert new["session_api_key"] == old["session_api_key"]
    changed = await operator.only()
    assert changed["metadata"]["uid"] == sandbox["metadata"]["uid"]
    assert changed["spec"]["restartedAt"] > STARTED
    assert await environment_of(client, changed) == environment
    # That of before stays as it was, for a pod that still has it.
    assert await environment_of(client, sandbox) == ENVIRONMENT


async def paused(gateway: Replica, operator: Operator, **fields: Any) -> KubeObject:
    """The only Sandbox, which was started with these fields and is paused."""
    started = await gateway.start("s", **fields)
    await gateway.post("/pause", started["runtime_id"])
    sandbox = await operator.report(Reason.SUSPENDED, firstReadyTime=STARTED, launch="Cold")
    await gateway.catch_up(sandbox)
    return sandbox


async def test_an_environment_that_comes_back_is_there_again(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    for token in "abab":
        sandbox = await paused(gateway, operator, environment={"TOKEN": token})
        assert await environment_of(client, sandbox) == {"TOKEN": token}
        # As the operator does once the next pod is made.
        metadata, revision = sandbox["metadata"], sandbox["spec"].get("environmentRevision", "")
        present = environment_secret_name(metadata["name"], metadata["uid"], revision)
        secrets = await client.list(SECRETS, namespace, labelSelector=f"{SANDBOX_LABEL}={metadata['name']}")
        for found in (item["metadata"]["name"] for item in secrets["items"]):
            if found != present:
                await client.delete(SECRETS, namespace, found)


async def test_a_paused_one_is_resumed_with_what_the_request_changes(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    sandbox = await paused(gateway, operator, environment={"TOKEN": "old"}, command="a b", working_dir="/w")
    written = len(await audit.writes(client, namespace, USER_AGENT))
    body = await gateway.start("s", environment={"TOKEN": "new"}, resource_factor=2, image="agent:2")
    assert (body["status"], [event["type"] for event in body["events"]]) == ("starting", ["Normal"])
    changed = await operator.only()
    spec = changed["spec"]
    assert (spec["suspend"], spec["image"], spec["resourceFactor"]) == (False, "agent:2", 2)
    assert (spec["command"], spec["workingDir"]) == (["a", "b"], "/w")
    assert changed["metadata"]["uid"] == sandbox["metadata"]["uid"]
    assert await environment_of(client, changed) == {"TOKEN": "new"}
    writes = (await audit.writes(client, namespace, USER_AGENT))[written:]
    assert kinds(writes) == ["create secrets", "patch sandboxes"]


@pytest.mark.parametrize(
    ("changed", "replaced"),
    [
        ({"image": "agent:2"}, True),
        ({"environment": {"A": "1"}}, True),
        ({"pending_timeout_seconds": 9}, False),
        ({}, False),
    ],
)
async def test_what_a_start_changes_while_the_pod_ends_is_not_left_to_that_pod(
    gateway: Replica, operator: Operator, changed: dict[str, Any], replaced: bool
) -> None:
    """A pause that is taken back before the operator has acted on it leaves the pod as it is."""
    started = await gateway.start("s")
    await operator.report(Reason.STARTING, startTime=STARTED)
    paused = await gateway.post("/pause", started["runtime_id"])
    assert (paused["status"], paused["events"][0]["reason"]) == ("paused", "Suspending")
    again = await gateway.start("s", **changed)
    assert "StartFieldsIgnored" not in [event["reason"] for event in again["events"]]
    spec = (await operator.only())["spec"]
    assert (spec["suspend"], spec.get("restartedAt", "") > STARTED) == (False, replaced)


async def test_a_paused_one_that_is_started_as_before_costs_one_write(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    sandbox = await paused(gateway, operator, environment=ENVIRONMENT, resource_factor=2)
    written = len(await audit.writes(client, namespace, USER_AGENT))
    await gateway.start("s", environment=ENVIRONMENT, resource_factor=2)
    assert kinds((await audit.writes(client, namespace, USER_AGENT))[written:]) == ["patch sandboxes"]
    present = {name: value for name, value in (await operator.only())["spec"].items() if name != "suspend"}
    assert present | {"suspend": True, "suspendReason": "Requested"} == sandbox["spec"]


async def test_a_running_one_is_left_alone_and_what_was_not_applied_is_named_once(
    gateway: Replica, operator: Operator, agent: Agent, client: KubeClient, namespace: str, audit: Audit
) -> None:
    await gateway.start("s", command=agent.command, environment={"TOKEN": "old"})
    sandbox = await operator.report(Reason.READY)
    await gateway.catch_up(sandbox)
    written = len(await audit.writes(client, namespace, USER_AGENT))
    for _ in range(3):
        body = await gateway.start("s", environment={"TOKEN": "secret-value"}, resource_factor=2, sandbox_class="other")
        assert body["status"] == "running"
        [event] = body["events"]
        assert (event["type"], event["reason"]) == ("Warning", "StartFieldsIgnored")
        assert event["message"].startswith("Not applied: resource_factor, environment, sandbox_class. ")
    assert (await operator.only())["spec"] == sandbox["spec"]
    assert kinds((await audit.writes(client, namespace, USER_AGENT))[written:]) == ["create events"]
    events = (await client.list(EVENTS, namespace))["items"]
    assert [item["reason"] for item in events if "secret-value" not in str(item)] == ["StartFieldsIgnored"]


@pytest.mark.parametrize("status", [{"firstReadyTime": STARTED}, {}])
async def test_resume_gives_it_a_new_pod_and_changes_nothing_else(
    gateway: Replica,
    operator: Operator,
    client: KubeClient,
    namespace: str,
    audit: Audit,
    status: dict[str, str],
) -> None:
    old, sandbox = await failed(gateway, operator, **status)
    written = len(await audit.writes(client, namespace, USER_AGENT))
    new = answer(await gateway.http.post("/resume", json={"runtime_id": old["runtime_id"]}))
    assert (new["status"], new["pod_status"], new["status_detail"]) == ("starting", "pending", None)
    for name in ("runtime_id", "url", "session_api_key"):
        assert new[name] == old[name]
    restarted = await operator.only()
    assert restarted["metadata"]["uid"] == sandbox["metadata"]["uid"]
    assert restarted["spec"]["restartedAt"] > STARTED
    assert restarted["spec"] == {**sandbox["spec"], "restartedAt": restarted["spec"]["restartedAt"]}
    writes = (await audit.writes(client, namespace, USER_AGENT))[written:]
    assert kinds(writes) == ["patch sandboxes"]


async def test_resume_is_refused_while_it_is_being_deleted(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str
) -> None:
    old, sandbox = await failed(gateway, operator)
    name = old["runtime_id"]
    await client.patch(SANDBOXES, namespace, name, {"metadata": {"finalizers": ["example.com/held"]}})
    await client.delete(SANDBOXES, namespace, name, uid=sandbox["metadata"]["uid"])
    try:
        for headers, code in (({}, 409), ({"X-API-Key": OTHER_API_KEY}, 404)):
            refused = await gateway.http.post("/resume", json={"runtime_id": name}, headers=headers)
            refusal(refused, code)
    finally:
        await client.patch(SANDBOXES, namespace, name, {"metadata": {"finalizers": None}})


async def test_ten_retries_at_once_restart_it_once(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    _, sandbox = await failed(gateway, operator, firstReadyTime=STARTED)
    written = len(await audit.writes(client, namespace, USER_AGENT))
    await asyncio.gather(*(gateway.start("s", environment=ENVIRONMENT) for _ in range(10)))
    assert (await operator.only())["metadata"]["uid"] == sandbox["metadata"]["uid"]
    writes = (await audit.writes(client, namespace, USER_AGENT))[written:]
    assert [write.what for write in writes if write.code < 300] == ["patch sandboxes"]


@pytest.mark.parametrize("environment", [ENVIRONMENT, {"TOKEN": "other"}])
async def test_one_that_recovers_meanwhile_is_left_alone(
    gateway: Replica, operator: Operator, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    _, sandbox = await failed(gateway, operator, firstReadyTime=STARTED)
    patch = KubeClient.patch
    recovered: list[KubeObject] = []

    async def late(*args: Any, **options: Any) -> KubeObject:
        if not recovered:
            monkeypatch.setattr(KubeClient, "patch", patch)
            recovered.append(await operator.report(Reason.CONTAINER_RESTARTING, firstReadyTime=STARTED))
        return await patch(*args, **options)

    monkeypatch.setattr(KubeClient, "patch", late)
    assert (await gateway.start("s", environment=environment))["status"] == "starting"
    assert recovered
    found = await operator.only()
    assert found["metadata"]["uid"] == sandbox["metadata"]["uid"]
    assert found["spec"].get("restartedAt", "") == ""


async def test_one_that_is_deleted_meanwhile_is_made_anew(
    gateway: Replica, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sandbox = await failed(gateway, operator, firstReadyTime=STARTED)
    patch = KubeClient.patch

    async def gone(*_: Any, **__: Any) -> KubeObject:
        monkeypatch.setattr(KubeClient, "patch", patch)
        await gateway.post("/stop", sandbox["metadata"]["name"])
        raise ApiError(404, "NotFound", "")

    monkeypatch.setattr(KubeClient, "patch", gone)
    assert (await gateway.start("s", environment=ENVIRONMENT))["status"] == "starting"
    assert (await operator.only())["metadata"]["uid"] != sandbox["metadata"]["uid"]

"""/start and /resume of a session whose sandbox has failed: its volume must not go with a retry."""

import asyncio
from typing import Any

import pytest

from control_plane.audit import Audit, kinds
from control_plane.gateway.support import OTHER_API_KEY, USER_AGENT, Agent, Operator, Replica, answer, refusal
from sandbox_crds.kube import ApiError, KubeClient, KubeObject
from sandbox_crds.kube.resources import SANDBOXES
from sandbox_crds.reasons import Reason

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


async def test_one_that_was_never_ready_is_made_anew(gateway: Replica, operator: Operator) -> None:
    old, sandbox = await failed(gateway, operator)
    new = await gateway.start("s", environment=ENVIRONMENT)
    assert new["session_api_key"] != old["session_api_key"]
    assert (await operator.only())["metadata"]["uid"] != sandbox["metadata"]["uid"]


@pytest.mark.parametrize("environment", [{}, {"TOKEN": "other"}])
async def test_one_with_another_environment_is_made_anew(
    gateway: Replica, operator: Operator, environment: dict[str, str]
) -> None:
    _, sandbox = await failed(gateway, operator, firstReadyTime=STARTED)
    await gateway.start("s", environment=environment)
    assert (await operator.only())["metadata"]["uid"] != sandbox["metadata"]["uid"]


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
    assert restarted["spec"].pop("restartedAt") > STARTED
    assert {"suspend": False, "suspendReason": "", **sandbox["spec"]} == {
        "suspend": False,
        "suspendReason": "",
        **restarted["spec"],
    }
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


async def test_one_that_changes_meanwhile_is_looked_at_again(
    gateway: Replica, operator: Operator, agent: Agent, monkeypatch: pytest.MonkeyPatch
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
    assert (await gateway.start("s", environment=ENVIRONMENT))["status"] == "starting"
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

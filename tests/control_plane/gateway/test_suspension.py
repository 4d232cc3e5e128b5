"""Who has paused a sandbox, and what the answers say of its workspace."""

import asyncio
from typing import Any

import pytest

from control_plane.audit import Audit, kinds
from control_plane.gateway.support import USER_AGENT, Operator, Replica, refusal
from control_plane.waiting import eventually
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES
from sandbox_common.reasons import SUSPENSIONS, Reason

KEPT = "Suspended on request. The workspace is kept. Remedy: Resume it."


async def suspend(gateway: Replica, client: KubeClient, namespace: str, operator: Operator, reason: str) -> str:
    """As the operator or a person suspends the only sandbox, which the gateway learns; gives its name."""
    name = (await operator.only())["metadata"]["name"]
    await client.patch(SANDBOXES, namespace, name, {"spec": {"suspend": True, "suspendReason": reason}})
    await gateway.catch_up(await operator.report(SUSPENSIONS[reason], KEPT))
    return name


def intent(sandbox: dict[str, Any]) -> tuple[bool, str]:
    return sandbox["spec"].get("suspend", False), sandbox["spec"].get("suspendReason", "")


async def test_pause_says_whether_the_workspace_is_kept(gateway: Replica, operator: Operator) -> None:
    runtime_id = (await gateway.start("s"))["runtime_id"]
    await gateway.post("/pause", runtime_id)
    assert intent(await operator.only()) == (True, "Requested")
    await gateway.catch_up(await operator.report(Reason.SUSPENDING, "The pod ends. The workspace is kept."))
    paused = await gateway.post("/pause", runtime_id)
    assert (paused["status"], paused["events"][0]["reason"]) == ("paused", "Suspending")
    assert "The workspace is kept." in paused["events"][0]["message"]
    await gateway.catch_up(await operator.report(Reason.SUSPENDED, KEPT))
    for found in (await gateway.post("/pause", runtime_id), await gateway.session("s")):
        assert found["events"] == [{"type": "Normal", "reason": "Suspended", "message": KEPT}]
        assert (found["status"], found["pod_status"], found["pod_logs"]) == ("paused", "not found", "")


async def test_a_pause_that_would_lose_the_workspace_is_refused(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit
) -> None:
    runtime_id = (await gateway.start("s"))["runtime_id"]
    await gateway.catch_up(await operator.report(Reason.READY, readyTime="2026-01-02T03:04:05Z", workspaceKept=False))
    written = len(await audit.writes(client, namespace, USER_AGENT))
    before = await operator.only()
    classes = gateway.gateway.classes
    following = asyncio.create_task(classes.informer.run())
    detail = refusal(await gateway.http.post("/pause", json={"runtime_id": runtime_id}), 409)
    for remedy in ("workspace.persistent", "workspace.discardOnSuspension of SandboxClass default", "POST /stop"):
        assert remedy in detail
    assert await operator.only() == before
    assert (await audit.writes(client, namespace, USER_AGENT))[written:] == []
    # kubectl users who suspend it have asked for it, and then there is nothing left to lose.
    await client.patch(SANDBOXES, namespace, runtime_id, {"spec": {"suspend": True}})
    assert (await gateway.post("/pause", runtime_id))["status"] == "paused"
    await client.patch(SANDBOXES, namespace, runtime_id, {"spec": {"suspend": False}})
    body = {"apiVersion": SANDBOX_CLASSES.api_version, "kind": SANDBOX_CLASSES.kind, "metadata": {"name": "default"}}
    spec = {"workspace": {"discardOnSuspension": True}}
    await client.create(SANDBOX_CLASSES, namespace, {**body, "spec": spec})

    async def known() -> bool:
        return classes.find("default") is not None

    await eventually(known)
    assert (await gateway.post("/pause", runtime_id))["status"] == "paused"
    assert intent(await operator.only()) == (True, "Requested")
    following.cancel()


@pytest.mark.parametrize(
    ("before", "after"), [("Idle", "Requested"), ("Requested", "Requested"), ("StartTimeout", "StartTimeout"), ("", "")]
)
async def test_pause_of_one_that_is_paused_lets_only_the_client_run_it_again(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, before: str, after: str
) -> None:
    await gateway.start("s")
    runtime_id = await suspend(gateway, client, namespace, operator, before)
    paused = await gateway.post("/pause", runtime_id)
    assert (paused["status"], paused["pod_status"]) == ("paused", "not found")
    assert intent(await operator.only()) == (True, after)


@pytest.mark.parametrize("reason", SUSPENSIONS)
async def test_resume_and_start_take_the_reason_away(
    gateway: Replica, operator: Operator, client: KubeClient, namespace: str, audit: Audit, reason: str
) -> None:
    await gateway.start("s")
    written = len(await audit.writes(client, namespace, USER_AGENT))
    runtime_id = await suspend(gateway, client, namespace, operator, reason)
    assert (await gateway.session("s"))["status"] == "paused"
    assert (await gateway.post("/resume", runtime_id))["status"] == "starting"
    assert intent(await operator.only()) == (False, "")
    await suspend(gateway, client, namespace, operator, reason)
    assert (await gateway.start("s"))["status"] == "starting"
    assert intent(await operator.only()) == (False, "")
    writes = (await audit.writes(client, namespace, USER_AGENT))[written:]
    assert kinds(writes) == ["patch sandboxes", "patch sandboxes"]


async def test_an_idle_timeout_of_its_own_is_in_the_spec(gateway: Replica, operator: Operator) -> None:
    await gateway.start("s", idle_timeout_seconds=0)
    assert (await operator.only())["spec"]["idleTimeoutSeconds"] == 0
    # What a live sandbox is, another /start does not change.
    await gateway.start("s", idle_timeout_seconds=60)
    assert (await operator.only())["spec"]["idleTimeoutSeconds"] == 0

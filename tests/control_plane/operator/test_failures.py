"""What goes wrong with a pod, and what the Sandbox says about it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.audit import Audit
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.world import IMAGE, World
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import Resource
from sandbox_common.kube.resources import EVENTS, PODS, SECRETS
from sandbox_common.reasons import MEANINGS, Reason
from sandbox_common.redaction import REDACTED
from sandbox_common.remedies import said
from sandbox_common.times import rfc3339
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_operator.app import USER_AGENT
from sandbox_operator.reporting.conditions import READY

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")


def message(sandbox: Sandbox) -> str:
    """What the condition says, without the remedy."""
    condition = sandbox.status.condition(READY)
    assert condition
    assert condition.message.count("Remedy: ") == bool(MEANINGS[Reason(condition.reason)].remedy)
    return said(sandbox.status, condition)


def ended(exit_code: int, reason: str = "Error", text: str = "", seconds: float = 1) -> dict[str, Any]:
    end = datetime.now(UTC)
    times = {"startedAt": rfc3339(end - timedelta(seconds=seconds)), "finishedAt": rfc3339(end)}
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": text, **times}}


def waiting(reason: str, text: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": text}}


async def bound_pod(world: World, kubelet: Kubelet) -> str:
    name: str = (await world.pod(await world.add()))["metadata"]["name"]
    await kubelet.bind(name)
    return name


async def status_writes(world: World, audit: Audit) -> int:
    writes = await audit.writes(world.client, world.namespace, USER_AGENT)
    return sum(write.what == "patch sandboxes/status" and write.name == world.name for write in writes)


async def test_an_image_that_cannot_be_pulled(world: World, kubelet: Kubelet, audit: Audit) -> None:
    pod = await bound_pod(world, kubelet)
    why = f'failed to pull and unpack image "{IMAGE}": not found'
    await kubelet.report(pod, phase="Pending", state=waiting("ErrImagePull", why))
    told = message(await world.until(Reason.IMAGE_PULL_BACK_OFF))
    assert told == f"ImagePullBackOff: the image {IMAGE} cannot be pulled: {why}."
    # The kubelet goes back and forth between trying and waiting; nothing is written for it.
    before = await status_writes(world, audit)
    again = f'Back-off pulling image "{IMAGE}": ErrImagePull: {why}'
    await kubelet.report(pod, phase="Pending", state=waiting("ImagePullBackOff", again))
    await kubelet.report(pod, phase="Pending", state=waiting("ErrImagePull", why))
    await kubelet.report(pod, ready=True)
    await world.until(Reason.READY)
    assert await status_writes(world, audit) == before + 1


async def test_a_command_that_ends_at_once(world: World, kubelet: Kubelet, master_keys: MasterKeys) -> None:
    pod = await bound_pod(world, kubelet)
    key = master_keys.session_key(master_keys.key_id((await world.sandbox()).metadata.uid))
    last_words = f"OH_SESSION_API_KEYS_0={key}\nApplication startup failed"
    await kubelet.report(pod, state=ended(3, text=last_words))
    restarting = await world.until(Reason.CONTAINER_RESTARTING)
    assert message(restarting) == (
        "Started again. The agent server ended with exit code 3: "
        f"OH_SESSION_API_KEYS_0={REDACTED}\nApplication startup failed."
    )
    back_off = "back-off 10s restarting failed container=agent-server"
    last = ended(3, text=last_words)
    await kubelet.report(pod, state=waiting("CrashLoopBackOff", back_off), last=last, restarts=1)
    looping = await world.until(Reason.CRASH_LOOP_BACK_OFF)
    assert looping.status.restart_count == 1
    assert key not in looping.model_dump_json()
    # It runs again, for now.
    await kubelet.report(pod, last=last, restarts=2)
    assert message(await world.until(Reason.CRASH_LOOP_BACK_OFF, keep=lambda it: it.status.restart_count == 2))
    await kubelet.report(pod, last=last, restarts=2, ready=True)
    await world.until(Reason.READY)


async def test_out_of_memory_again_and_again(world: World, kubelet: Kubelet) -> None:
    pod = await bound_pod(world, kubelet)
    last = ended(137, "OOMKilled")
    await kubelet.report(pod, state=waiting("CrashLoopBackOff"), last=last, restarts=1)
    told = message(await world.until(Reason.OOM_KILLED))
    assert told == "The agent server ran out of memory (OOMKilled, exit code 137)."


async def test_a_pod_that_fits_no_node(world: World, kubelet: Kubelet) -> None:
    pod = (await world.pod(await world.add()))["metadata"]["name"]
    why = "0/1 nodes are available: 1 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    await world.client.patch(PODS, world.namespace, pod, {"status": {"conditions": [condition]}}, subresource="status")
    assert message(await world.until(Reason.UNSCHEDULABLE)) == f"The pod cannot be scheduled: {why}"
    await kubelet.run(pod)
    await world.until(Reason.READY)


async def test_a_missing_secret(world: World, kubelet: Kubelet) -> None:
    pod = await bound_pod(world, kubelet)
    await kubelet.report(pod, phase="Pending", state=waiting("CreateContainerConfigError", 'secret "x" not found'))
    told = message(await world.until(Reason.CREATE_CONTAINER_ERROR))
    assert told == 'CreateContainerConfigError: secret "x" not found.'


async def test_an_evicted_pod_is_replaced(world: World, kubelet: Kubelet) -> None:
    async with kubelet.running_all():
        sandbox = await world.add()
        ready = await world.until(Reason.READY)
    pod = await world.pod(sandbox)
    why = "The node was low on resource: memory."
    await kubelet.report(ready.status.pod_name, phase="Failed", reason="Evicted", message=why)
    failed = await world.until(Reason.EVICTED)
    assert message(failed) == f"Evicted: {why} It is replaced."
    loss = failed.status.last_loss
    assert loss
    assert (failed.status.lost_pods, loss.reason, loss.workspace) == (1, "NodeLowOnMemory", "Lost")
    await kubelet.end(ready.status.pod_name)
    second = await world.pod(sandbox, keep=lambda it: it["metadata"]["uid"] != pod["metadata"]["uid"])
    await kubelet.run(second["metadata"]["name"])
    again = await world.until(Reason.READY)
    assert (again.status.launch, again.status.key_id) == ("Resume", ready.status.key_id)


async def test_a_deleted_pod_is_replaced(world: World, kubelet: Kubelet) -> None:
    sandbox = await world.add()
    pod = await world.pod(sandbox)
    name = pod["metadata"]["name"]
    await kubelet.run(name)
    await world.until(Reason.READY)
    await world.client.delete(PODS, world.namespace, name)
    await world.until(Reason.POD_TERMINATING)
    await kubelet.end(name)
    await world.pod(sandbox, keep=lambda it: it["metadata"]["uid"] != pod["metadata"]["uid"])
    assert "replaces it" in message(await world.until(Reason.PENDING))
    await kubelet.run(name)
    await world.until(Reason.READY)


async def test_a_pod_that_vanishes_makes_the_sandbox_unready(world: World, kubelet: Kubelet) -> None:
    sandbox = await world.add()
    pod = await world.pod(sandbox)
    name = pod["metadata"]["name"]
    await kubelet.run(name)
    await world.until(Reason.READY)
    await world.client.delete(PODS, world.namespace, name, grace_seconds=0)
    gone = await world.until(Reason.PENDING)
    assert (gone.status.pod_ip, gone.status.ready_time) == ("", "")
    assert "replaces it" in message(gone)


async def test_a_full_quota(world: World, kubelet: Kubelet) -> None:
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    stored = await world.client.create(QUOTAS, world.namespace, quota)
    assert stored
    await world.client.patch(
        QUOTAS,
        world.namespace,
        "full",
        {"status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}},
        subresource="status",
    )
    sandbox = await world.add()
    refused = await world.until(Reason.QUOTA_EXCEEDED)
    assert "exceeded quota: full" in message(refused)
    # The key is known all the same: its Secret is there.
    assert refused.status.key_id
    await world.client.delete(QUOTAS, world.namespace, "full")
    await kubelet.run((await world.pod(sandbox))["metadata"]["name"])
    await world.until(Reason.READY)


async def test_pods_meet_the_restricted_pod_security_standard(world: World) -> None:
    """The namespace enforces it, as the second class shows; so all other pods of these tests meet it too."""
    await world.add_class("read-only", pod={"readOnlyRootFilesystem": True})
    await world.add_class("sudo", pod={"allowPrivilegeEscalation": True})
    sandbox = await world.add(className="read-only", environmentHash="0" * 64)
    pod = await world.pod(sandbox)
    assert pod["metadata"]["namespace"] == world.namespace
    other = World(world.client, world.namespace, f"{world.name}-sudo")
    await other.add(className="sudo")
    told = message(await other.until(Reason.POD_REFUSED))
    assert 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false' in told
    await other.delete()


async def test_a_runtime_class_that_the_cluster_does_not_have(world: World) -> None:
    await world.add_class("vm", runtimeClasses={"sysbox-runc": "absent"})
    await world.add(className="vm", runtimeClassName="sysbox-runc")
    assert 'RuntimeClass "absent" not found' in message(await world.until(Reason.POD_REFUSED))


async def test_a_runtime_class_that_is_not_listed_is_dropped_with_an_event(world: World) -> None:
    sandbox = await world.add(runtimeClassName="sysbox-runc")
    assert "runtimeClassName" not in (await world.pod(sandbox))["spec"]
    await world.until(Reason.PENDING)
    events = (await world.client.list(EVENTS, world.namespace))["items"]
    [event] = [event for event in events if event.get("regarding", {}).get("uid") == sandbox.metadata.uid]
    assert event["reason"] == "RuntimeClassDropped"
    assert event["type"] == "Warning"
    assert "sysbox-runc" in event["note"]


async def test_a_class_that_comes_later(world: World, kubelet: Kubelet) -> None:
    sandbox = await world.add(className="later")
    told = message(await world.until(Reason.SANDBOX_CLASS_NOT_FOUND))
    assert told == "There is no SandboxClass later in this namespace."
    await world.add_class("later")
    await kubelet.run((await world.pod(sandbox))["metadata"]["name"])
    await world.until(Reason.READY)


async def test_another_s_object_of_the_same_name_is_left_alone(world: World, kubelet: Kubelet) -> None:
    services = Resource("", "v1", "services", "Service")
    foreign = {"metadata": {"name": world.name}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    kept = await world.client.create(services, world.namespace, foreign)
    await world.add(service="Headless")
    told = await world.until(Reason.PENDING)
    assert f"Service {world.name} that does not belong to this sandbox" in message(told)
    assert (await world.client.get(services, world.namespace, world.name))["metadata"]["uid"] == kept["metadata"]["uid"]
    await world.client.delete(services, world.namespace, world.name)
    async with kubelet.running_all():
        await world.until(Reason.READY)
    assert (await world.client.get(services, world.namespace, world.name))["spec"]["ports"][0]["port"] == 60000


async def test_a_sandbox_that_waits_suspended_has_nothing(world: World) -> None:
    await world.add(suspend=True)
    suspended = await world.until(Reason.SUSPENDED)
    assert message(suspended) == "Suspended on request."
    assert (suspended.status.launch, suspended.status.pod_name) == ("", "")
    for resource in (PODS, SECRETS):
        selector = f"{SANDBOX_LABEL}={world.name}"
        assert (await world.client.list(resource, world.namespace, labelSelector=selector))["items"] == []

"""Suspensions, restarts and lost pods: what is asked of the agent server, written, and said."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.operator.agents import Agent
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.ledger import Ledger
from control_plane.operator.world import World
from control_plane.waiting import eventually
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, KubeObject
from sandbox_common.kube.resources import EVENTS, PODS, SANDBOXES, SERVICES, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_common.remedies import said
from sandbox_common.times import rfc3339, rfc3339_micro
from sandbox_crds.models import Sandbox
from sandbox_operator.builders.owned import name_of
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.suspension import suspension_patch
from sandbox_operator.sandboxes.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESTART = sorted(
    [
        "patch sandboxes/status",
        "delete pods",
        "create pods",
        "create secrets",
        "create persistentvolumeclaims",
        "patch sandboxes/status",
    ]
)


def is_deleted(pod: KubeObject) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def message(sandbox: Sandbox) -> str:
    """What the condition says, without the remedy."""
    condition = sandbox.status.condition(READY)
    assert condition
    return said(sandbox.status, condition)


async def start(world: World, kubelet: Kubelet, agent: Agent, **spec: Any) -> Sandbox:
    """A sandbox whose agent server answers."""
    sandbox = await world.add(command=agent.command, **spec)
    await agent.run(kubelet, (await world.pod(sandbox))["metadata"]["name"])
    return await world.until(Reason.READY)


async def end(world: World, kubelet: Kubelet, sandbox: Sandbox) -> None:
    """The pod ends, as it has been told to."""
    await world.pod(sandbox, keep=is_deleted)
    await kubelet.end(sandbox.status.pod_name)


@pytest.mark.parametrize("status", [204, 404, 500])
async def test_an_agent_server_saves_its_work_before_its_pod_is_deleted(
    world: World, kubelet: Kubelet, agent: Agent, ledger: Ledger, master_keys: MasterKeys, status: int
) -> None:
    sandbox = await start(world, kubelet, agent)
    await ledger.new()
    seen: list[KubeObject] = []

    async def look() -> None:
        seen.append(await world.client.get(PODS, world.namespace, sandbox.status.pod_name))

    agent.meanwhile, agent.status = look, status
    await world.suspend(True)
    await end(world, kubelet, sandbox)
    await world.until(Reason.SUSPENDED)
    assert agent.keys == [master_keys.session_key(sandbox.status.key_id)]
    assert [is_deleted(pod) for pod in seen] == [False]
    assert await ledger.new() == ["delete pods", "patch sandboxes/status"]


async def test_a_changed_port_is_the_next_pods(
    world: World, kubelet: Kubelet, agent: Agent, ledger: Ledger, master_keys: MasterKeys
) -> None:
    old, new = int(agent.command[-1]), {"command": ["agent-server", "--port", "60001"]}
    first = await start(world, kubelet, agent, service="Headless")
    assert first.status.ports == {"http": old, "vscode": 60001, "work-1": 12000, "work-2": 12001}
    await ledger.new()
    generation = (await world.edit(**new)).metadata.generation
    running = await world.until(Reason.READY, keep=lambda it: it.status.observed_generation == generation)
    assert running.status.ports == first.status.ports
    assert await service_port(world) == old
    assert await ledger.new() == ["patch sandboxes/status"]

    # The pod of before is asked to save its work where it listens.
    await world.suspend(True)
    await end(world, kubelet, first)
    asleep = await world.until(Reason.SUSPENDED)
    assert agent.keys == [master_keys.session_key(first.status.key_id)]
    assert asleep.status.ports == {}
    await world.suspend(False)
    await kubelet.run((await world.pod(first))["metadata"]["name"])
    second = await world.until(Reason.READY)
    assert second.status.ports["http"] == 60001

    async def leads_there() -> bool:
        return await service_port(world) == 60001

    await eventually(leads_there)


async def test_a_sandbox_that_somebody_elses_finalizer_keeps_runs_no_more(
    world: World, kubelet: Kubelet, agent: Agent, ledger: Ledger, master_keys: MasterKeys
) -> None:
    sandbox = await start(world, kubelet, agent)
    finalizers = {"metadata": {"finalizers": ["backup.example/keep"]}}
    await world.client.patch(SANDBOXES, world.namespace, world.name, finalizers)
    await ledger.new()
    await world.delete()
    await world.pod(sandbox, keep=is_deleted)
    assert agent.keys == [master_keys.session_key(sandbox.status.key_id)]
    terminating = await world.until(Reason.TERMINATING)
    assert message(terminating) == "The Sandbox is being deleted, and waits for its finalizers: backup.example/keep."
    await kubelet.end(sandbox.status.pod_name)
    gone = await world.until(Reason.TERMINATING, keep=lambda it: not it.status.pod_uid)
    assert (gone.status.pod_ip, gone.status.ports) == ("", {})
    assert await ledger.new() == sorted(["delete pods", "patch sandboxes/status", "patch sandboxes/status"])
    await world.client.patch(SANDBOXES, world.namespace, world.name, {"metadata": {"finalizers": None}})
    await world.gone(SANDBOXES, world.name)
    await world.add(name=world.name)


async def test_a_service_follows_the_spec_and_comes_back_when_it_is_deleted(world: World, kubelet: Kubelet) -> None:
    await kubelet.run((await world.pod(await world.add(service="Headless")))["metadata"]["name"])
    await world.until(Reason.READY)
    await world.client.delete(SERVICES, world.namespace, world.name)

    async def is_there() -> bool:
        return await service_port(world) == 60000

    await eventually(is_there)
    await world.edit(service="None")
    await world.gone(SERVICES, world.name)
    await world.edit(service="Headless")
    await eventually(is_there)


async def service_port(world: World) -> int:
    """The port of the sandbox's Service; 0: there is none."""
    try:
        service = await world.client.get(SERVICES, world.namespace, world.name)
    except ApiError:
        return 0
    return service["spec"]["ports"][0]["port"]


async def test_an_agent_server_that_does_not_answer_yet_is_not_asked(
    world: World, kubelet: Kubelet, agent: Agent
) -> None:
    sandbox = await world.add(command=agent.command)
    name = (await world.pod(sandbox))["metadata"]["name"]
    await kubelet.bind(name)
    await kubelet.report(name)
    await world.suspend(True)
    await world.pod(sandbox, keep=is_deleted)
    await kubelet.end(name)
    await world.until(Reason.SUSPENDED)
    assert agent.keys == []


async def test_a_pod_goes_on_when_its_sandbox_is_resumed_in_time(world: World, kubelet: Kubelet, agent: Agent) -> None:
    sandbox = await start(world, kubelet, agent)
    agent.meanwhile = lambda: world.suspend(False)
    generation = (await world.edit(suspend=True)).metadata.generation
    again = await world.until(Reason.READY, keep=lambda it: it.status.observed_generation > generation)
    assert (again.status.pod_uid, len(agent.keys)) == (sandbox.status.pod_uid, 1)
    assert not is_deleted(await world.client.get(PODS, world.namespace, sandbox.status.pod_name))


async def test_a_restart_keeps_keys_and_volume(world: World, kubelet: Kubelet, agent: Agent, ledger: Ledger) -> None:
    first = await start(world, kubelet, agent, className="kept")
    claim = await world.client.get(VOLUME_CLAIMS, world.namespace, first.status.pod_name)
    await ledger.new()
    restarted_at = datetime.fromisoformat(first.status.start_time) + timedelta(seconds=1)
    await world.edit(restartedAt=rfc3339(restarted_at))
    restarting = await world.until(Reason.POD_TERMINATING)
    assert message(restarting) == "Restarted on request: the pod ends; a new one follows."
    await end(world, kubelet, first)
    pod = await world.pod(first, keep=lambda it: it["metadata"]["uid"] != first.status.pod_uid)
    await agent.run(kubelet, pod["metadata"]["name"])
    second = await world.until(Reason.READY)
    assert await ledger.new() == RESTART
    assert len(agent.keys) == 1
    assert (second.status.key_id, second.status.launch) == (first.status.key_id, "Resume")
    assert second.status.first_ready_time == first.status.first_ready_time
    kept = await world.client.get(VOLUME_CLAIMS, world.namespace, first.status.pod_name)
    assert kept["metadata"]["uid"] == claim["metadata"]["uid"]


async def test_a_clock_that_is_ahead_restarts_a_sandbox_once(
    world: World, kubelet: Kubelet, agent: Agent, ledger: Ledger
) -> None:
    first = await start(world, kubelet, agent, className="kept")
    await ledger.new()
    await world.edit(restartedAt=rfc3339(datetime.now(UTC) + timedelta(hours=1)))
    await end(world, kubelet, first)
    pod = await world.pod(first, keep=lambda it: it["metadata"]["uid"] != first.status.pod_uid)
    await agent.run(kubelet, pod["metadata"]["name"])
    await world.until(Reason.READY)
    assert await ledger.new() == RESTART


async def test_an_idle_sandbox_says_so_until_it_is_suspended_on_request(
    world: World, kubelet: Kubelet, agent: Agent, ledger: Ledger
) -> None:
    first = await start(world, kubelet, agent, className="kept")
    await ledger.new()
    # The test is the loop that looks for idle sandboxes.
    patch = suspension_patch(first, "Idle", "Idle since noon.")
    await Api(world.client, world.namespace).suspend(first, patch)
    await end(world, kubelet, first)
    idle = await world.until(Reason.IDLE)
    assert message(idle) == "Idle since noon. The workspace is kept."
    await world.edit(suspend=True, suspendReason="Requested")
    requested = await world.until(Reason.SUSPENDED)
    assert message(requested) == "Suspended on request. The workspace is kept."
    assert await ledger.new() == ["delete pods", "patch sandboxes/status", "patch sandboxes/status"]


async def test_suspensions_and_restarts_are_no_losses(world: World, kubelet: Kubelet, agent: Agent) -> None:
    sandbox = await start(world, kubelet, agent)
    async with kubelet.running_all():
        for _ in range(3):
            await world.suspend(True)
            await world.suspend(False)
            await world.until(Reason.READY, keep=lambda it: it.status.observed_generation == it.metadata.generation)
        restarted_at = rfc3339(datetime.now(UTC) + timedelta(seconds=1))
        await world.edit(restartedAt=restarted_at)
        await world.pod(
            sandbox,
            keep=lambda pod: (
                pod["metadata"].get("annotations", {}).get("sandbox.openhands.dev/restarted-at") == restarted_at
            ),
        )
        await world.until(Reason.READY)
        await world.suspend(True)
        await world.until(Reason.SUSPENDED)
        await world.suspend(False)
        await world.until(Reason.READY)
    assert await world.events("PodLost") == []


@pytest.mark.parametrize(("of_class", "kept"), [("kept", "is kept"), ("default", "was not kept")])
async def test_a_pod_that_vanishes_is_replaced_and_told_of_once(
    world: World, kubelet: Kubelet, ledger: Ledger, of_class: str, kept: str
) -> None:
    async with kubelet.running_all():
        await world.add(className=of_class)
        first = await world.until(Reason.READY)
        await ledger.new()
        await world.client.delete(PODS, world.namespace, first.status.pod_name, grace_seconds=0)
        second = await world.until(Reason.READY, keep=lambda it: it.status.pod_uid != first.status.pod_uid)
    [lost] = await world.events("PodLost")
    assert lost["type"] == "Warning"
    assert lost["note"].startswith(f"Pod {first.status.pod_name} ")
    # The watch may have told of the deletion or, at once, of the end.
    assert "was deleted, but not by the operator." in lost["note"] or "was not deleted by the operator." in lost["note"]
    assert f"The workspace {kept}" in lost["note"]
    assert second.status.launch == "Resume"
    assert (await ledger.new()).count("create events") == 1


async def test_a_pod_that_is_deleted_by_hand_is_told_of_once(world: World, kubelet: Kubelet) -> None:
    async with kubelet.running_all():
        await world.add()
        first = await world.until(Reason.READY)
        await world.client.delete(PODS, world.namespace, first.status.pod_name)
        await world.until(Reason.READY, keep=lambda it: it.status.pod_uid != first.status.pod_uid)
    assert len(await world.events("PodLost")) == 1


async def test_a_pod_that_its_node_ends_is_reported_once(world: World, kubelet: Kubelet) -> None:
    async with kubelet.running_all():
        await world.add()
        first = await world.until(Reason.READY)
        await kubelet.report(first.status.pod_name, phase="Failed", reason="Evicted", message="low on memory")
        second = await world.until(Reason.READY, keep=lambda it: it.status.pod_uid != first.status.pod_uid)
    assert second.status.launch == "Resume"
    [event] = await world.events("PodLost")
    assert "low on memory" in event["note"]


async def test_a_pod_that_was_never_ready_is_followed_by_a_cold_start(world: World, kubelet: Kubelet) -> None:
    sandbox = await world.add()
    name = (await world.pod(sandbox))["metadata"]["name"]
    starting = await world.until(Reason.PENDING)
    assert starting.status.starting_since == sandbox.metadata.creation_timestamp
    await world.client.delete(PODS, world.namespace, name, grace_seconds=0)
    pod = await world.pod(sandbox, keep=lambda it: it["metadata"]["uid"] != starting.status.pod_uid)
    await kubelet.run(pod["metadata"]["name"])
    ready = await world.until(Reason.READY)
    assert (ready.status.launch, ready.status.starting_since) == ("Cold", "")
    assert ready.status.first_ready_time == ready.status.ready_time


async def test_the_cause_of_a_restart_is_kept_as_long_as_the_pod_lives(world: World, kubelet: Kubelet) -> None:
    sandbox = await world.add()
    name = (await world.pod(sandbox))["metadata"]["name"]
    await kubelet.run(name)
    await world.until(Reason.READY)
    now = rfc3339(datetime.now(UTC))
    last = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": now, "finishedAt": now}}
    await kubelet.report(name, last=last, restarts=1, ready=True)
    again = await world.until(Reason.READY, keep=lambda it: it.status.restart_count == 1)
    assert "OOMKilled" in again.status.restart_reason
    await world.client.delete(PODS, world.namespace, name, grace_seconds=0)
    pod = await world.pod(sandbox, keep=lambda it: it["metadata"]["uid"] != again.status.pod_uid)
    await kubelet.run(pod["metadata"]["name"])
    fresh = await world.until(Reason.READY, keep=lambda it: it.status.pod_uid != again.status.pod_uid)
    assert (fresh.status.restart_count, fresh.status.restart_reason) == (0, "")


async def test_an_event_says_why_a_container_is_not_made(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    sandbox = await world.add()
    pod = await world.pod(sandbox)
    name = pod["metadata"]["name"]
    await kubelet.bind(name)
    await kubelet.report(name, phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})
    now = rfc3339_micro(datetime.now(UTC))
    regarding = {"apiVersion": "v1", "kind": "Pod", "namespace": world.namespace}
    event = {
        "metadata": {"name": f"{name}.mount", "namespace": world.namespace},
        "eventTime": now,
        "reportingController": "kubelet",
        "reportingInstance": "node-1",
        "type": "Warning",
        "reason": "FailedMount",
        "action": "Mounting",
        "note": 'MountVolume.SetUp failed for volume "x": configmap "x" not found',
        "regarding": {**regarding, "name": name, "uid": pod["metadata"]["uid"]},
    }
    await world.client.create(EVENTS, world.namespace, event)
    # What is said of another pod is not what this one lacks.
    other = {**event, "metadata": {"name": "other.mount"}, "regarding": {**regarding, "name": "other", "uid": "other"}}
    await world.client.create(EVENTS, world.namespace, {**other, "note": "of another"})
    told = await world.until(Reason.CREATE_CONTAINER_ERROR)
    assert 'FailedMount: MountVolume.SetUp failed for volume "x": configmap "x" not found' in message(told)
    # It is read again, and not written again.
    await asyncio.sleep(6)
    assert (await ledger.new()).count("patch sandboxes/status") == 2
    await kubelet.report(name, ready=True)
    await world.until(Reason.READY)


async def test_a_start_that_takes_too_long_is_suspended_and_may_be_resumed(
    world: World, kubelet: Kubelet, ledger: Ledger
) -> None:
    of_class = f"{world.name}-hasty"
    await world.add_class(of_class, progressDeadlineSeconds=3, workspace={"persistent": True, "size": "1Gi"})
    async with kubelet.running_all():
        first = await world.add(className=of_class)
        await world.until(Reason.READY)
        await world.suspend(True)
        await world.until(Reason.SUSPENDED)
    await ledger.new()
    # Nobody schedules the next pod.
    await world.suspend(False)
    late = await world.until(Reason.START_TIMEOUT)
    assert (late.spec.suspend, late.spec.suspend_reason) == (True, "StartTimeout")
    assert message(late) == (
        "The start took longer than the 3 s of progressDeadlineSeconds. Last: Pending: The pod waits for a node. "
        "The workspace is kept."
    )
    [event] = await world.events("StartTimeout")
    assert event["note"] in message(late)
    started = ["create persistentvolumeclaims", "create pods", "create secrets", "patch sandboxes/status"]
    ended = ["patch sandboxes", "create events", "delete pods", "patch sandboxes/status"]
    assert await ledger.new() == sorted([*started, *ended])
    await world.client.get(VOLUME_CLAIMS, world.namespace, name_of(first))
    async with kubelet.running_all():
        await world.edit(suspend=False, suspendReason="")
        assert (await world.until(Reason.READY)).status.launch == "Resume"

"""Nodes that fall silent, are drained or needed for others: the real scheduler, node and taint controllers act."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from control_plane.cluster_scope import VOLUMES
from control_plane.naming import runtime_id
from control_plane.nodes import warm_pods
from control_plane.nodes.conftest import FRAIL, OWNER, STEADY, Town
from control_plane.operator.world import World
from control_plane.pools.basin import Basin
from control_plane.waiting import eventually
from failures.observer import has_condition, is_being_deleted
from sandbox_common.kube import KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import EVENTS, NODES, PODS, VOLUME_CLAIMS
from sandbox_common.losses import LOSSES, LossReason
from sandbox_common.reasons import MEANINGS, Reason
from sandbox_crds.models import Sandbox
from sandbox_operator.reporting.conditions import READY
from sandbox_operator.reporting.findings import VOLUME_OF_NODES

pytestmark = pytest.mark.asyncio(loop_scope="module")

CPU = "1500m"
"""What a sandbox asks for: more than half of a node."""
PRIORITIES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
ALL_PODS = replace(PODS, namespaced=False)
_STORAGE_CLASS, _OF_NODE = "by-hand", "of-node"
"""StorageClasses, and classes with their volumes: all nodes can use them, or only the node of their directory."""
_OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def classes(town: Town) -> None:
    """Sandboxes start on the frail node if it has room; `impatient` ones give a silent node up after a second."""
    world = World(town.client, town.namespace, "none")
    on_frail = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [FRAIL]}]}
    preferred = [{"weight": 100, "preference": on_frail}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    gives_up = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "tolerationSeconds": 1}
    resources = {"requests": {"cpu": CPU}}
    await world.add_class(pod={"affinity": affinity}, resources=resources)
    tolerations = [{"operator": "Exists", **gives_up}]
    impatient: dict[str, Any] = {
        "pod": {"affinity": affinity, "tolerations": tolerations},
        "resources": {"requests": {"cpu": "500m"}},
        "terminationGracePeriodSeconds": 1,
    }
    await world.add_class("impatient", **impatient)
    for name in (_STORAGE_CLASS, _OF_NODE):
        await world.add_class(name, workspace={"persistent": True, "storageClassName": name}, **impatient)


@pytest_asyncio.fixture(loop_scope="module")
async def world(town: Town, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """For one Sandbox, which the gateway knows as the session with the test's name."""
    world = World(town.client, town.namespace, runtime_id(OWNER, request.node.name))
    yield world
    town.frail.speak()
    await world.delete()
    # The garbage collector looks for new kinds, such as ours, every 30 s.
    await eventually(lambda: _is_free(town.client, FRAIL))


async def _is_free(client: KubeClient, name: str) -> bool:
    node = await client.get(NODES, "", name)
    pods = (await client.list(ALL_PODS, "", fieldSelector=f"spec.nodeName={name}"))["items"]
    return not node["spec"].get("taints") and not pods


def _volume(name: str, storage_class: str = _STORAGE_CLASS, node: str = "") -> KubeObject:
    """A volume that all nodes can use, or only this one."""
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "hostPath": {"path": "/nowhere"},
            **({"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if node else {}),
        },
    }


async def started(world: World, session_id: str, **spec: Any) -> Sandbox:
    """A sandbox that is ready on the frail node."""
    sandbox = await world.add(owner=OWNER, sessionID=session_id, **spec)
    ready = await world.until(Reason.READY)
    assert (await world.pod(sandbox))["spec"]["nodeName"] == FRAIL
    return ready


def message(sandbox: Sandbox) -> str:
    condition = sandbox.status.condition(READY)
    assert condition
    return condition.message


def with_remedy(cause: str, reason: Reason) -> str:
    return f"{cause} Remedy: {MEANINGS[reason].remedy}"


async def seen_by_client(town: Town, session_id: str) -> dict[str, Any]:
    """The session as the Runtime API tells it."""
    answer = await town.gateway.get(f"/sessions/{session_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def explained(town: Town, world: World) -> dict[str, Any]:
    answer = await town.gateway.get(f"/explain/{world.name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def pod_lost_event(world: World) -> KubeObject:
    """The Event about the lost pod."""

    async def look() -> KubeObject | None:
        events = (await world.client.list(EVENTS, world.namespace, fieldSelector="reason=PodLost"))["items"]
        return next((event for event in events if event["regarding"]["name"] == world.name), None)

    return await eventually(look)


async def test_a_node_that_falls_silent_and_comes_back(
    town: Town, world: World, request: pytest.FixtureRequest
) -> None:
    session_id = request.node.name
    ready = await started(world, session_id)
    town.frail.fall_silent()
    lost = await world.until(Reason.NODE_LOST)
    cause = f"Node {FRAIL} does not report."
    assert message(lost) == with_remedy(cause, Reason.NODE_LOST)

    told = await seen_by_client(town, session_id)
    assert (told["status"], told["pod_status"]) == ("starting", "pending")
    assert told["pod_logs"].startswith(f"NodeLost: {cause}")
    assert [(event["type"], event["reason"]) for event in told["events"]] == [("Warning", "NodeLost")]
    assert [status["reason"] for status in told["container_statuses"]] == ["NodeLost"]
    why = await explained(town, world)
    assert (why["reason"], why["remedy"]) == ("NodeLost", MEANINGS[Reason.NODE_LOST].remedy)
    assert cause in why["cause"]
    assert any(item["source"] == "event" and "Node is not ready" in item["text"] for item in why["evidence"])

    town.observer.say_delay("a silent node", world.name, Reason.NODE_LOST, PODS, has_condition("Ready", "False"))
    town.frail.speak()
    again = await world.until(Reason.READY)
    # The agent server has never stopped: it is the same pod.
    assert again.status.pod_uid == ready.status.pod_uid


async def test_a_node_that_never_comes_back(town: Town, world: World, request: pytest.FixtureRequest) -> None:
    await town.client.create(VOLUMES, "", _volume("kept"))
    first = await started(world, request.node.name, className="impatient")
    await town.client.create(VOLUMES, "", _volume("of-frail", _OF_NODE, FRAIL))
    kept = await world.add("kept", className=_STORAGE_CLASS)
    bound = await world.add("bound", className=_OF_NODE, owner=OWNER, sessionID="bound")
    for sandbox in (kept, bound):
        await world.until(Reason.READY, sandbox.metadata.name)
        assert (await world.pod(sandbox))["spec"]["nodeName"] == FRAIL
    town.frail.fall_silent()
    await world.until(Reason.NODE_LOST)
    # Without a volume nothing is lost by not waiting for the node.
    moved = await world.until(Reason.READY)
    assert (await world.pod(first))["spec"]["nodeName"] == STEADY
    assert moved.status.pod_uid != first.status.pod_uid
    assert moved.status.launch == "Resume"
    assert moved.status.last_loss
    assert moved.status.last_loss.workspace == "Lost"
    assert "The content of /workspace is lost." in str(await explained(town, world))
    # All the time the node was the cause, also while its pod was to be deleted.
    reasons = town.observer.reasons(world.name)
    assert reasons[reasons.index("Ready") :][:2] == ["Ready", "NodeLost"]
    assert not {"PodTerminating", "Evicted"} & set(reasons)
    assert "was not kept" in (await pod_lost_event(world))["note"]
    # The silent node may still write to the volume.
    lost = await world.until(Reason.NODE_LOST, "kept")
    await world.pod(kept, keep=is_being_deleted)
    # The administrator says that the machine is off.
    node = await town.client.get(NODES, "", FRAIL)
    taints = {"spec": {"taints": [*node["spec"]["taints"], _OUT_OF_SERVICE]}}
    await town.client.patch(NODES, "", FRAIL, taints)
    try:
        # Kubernetes looks for such pods every 20 s.
        again = await world.until(Reason.READY, "kept")
        assert (await world.pod(kept))["spec"]["nodeName"] == STEADY
        assert again.status.pod_uid != lost.status.pod_uid
        assert again.status.volume_claim == lost.status.volume_claim
        assert again.status.last_loss
        assert again.status.last_loss.workspace == "Kept"
        await _gives_its_volume_up(town, world, "bound")
        assert (await world.pod(bound))["spec"]["nodeName"] == STEADY
    finally:
        await town.client.patch(NODES, "", FRAIL, {"spec": {"taints": node["spec"]["taints"]}})
        for name in ("kept", "bound"):
            await world.delete(name)


async def _gives_its_volume_up(town: Town, world: World, name: str) -> None:
    """What the condition says about a sandbox whose volume is on the lost node, and what follows if one does it."""
    stuck = await world.until(Reason.UNSCHEDULABLE, name)
    assert re.search("PersistentVolume's node affinity|volume node affinity conflict", message(stuck))
    answer = await town.gateway.get(f"/explain/{name}")
    assert answer.json()["remedy"] == VOLUME_OF_NODES
    claim = stuck.status.volume_claim
    await world.suspend(True, name)
    await world.until(Reason.SUSPENDED, name)
    await town.client.delete(VOLUME_CLAIMS, town.namespace, claim)
    await world.gone(VOLUME_CLAIMS, claim)
    await town.client.create(VOLUMES, "", _volume("of-steady", _OF_NODE, STEADY))
    await world.suspend(False, name)
    ready = await world.until(Reason.READY, name)
    assert ready.status.last_loss
    assert (ready.status.last_loss.reason, ready.status.last_loss.workspace) == (LossReason.VOLUME_GONE, "Lost")


async def test_a_node_that_is_drained(town: Town, world: World, request: pytest.FixtureRequest) -> None:
    first = await started(world, request.node.name)
    pod = first.status.pod_name
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    await town.client.create(Resource("", "v1", f"pods/{pod}/eviction", "Eviction"), town.namespace, eviction)
    evicted = await world.until(Reason.EVICTED)
    cause = "EvictionByEvictionAPI: Eviction API: evicting. The pod ends; a new one follows."
    assert message(evicted) == f"{cause} Remedy: {LOSSES[LossReason.DRAINED].remedy}"
    told = await seen_by_client(town, request.node.name)
    assert told["pod_status"] in {"pending", "ready"}
    second = await world.until(Reason.READY, keep=lambda it: it.status.pod_uid != first.status.pod_uid)
    assert second.status.key_id == first.status.key_id
    note = (await pod_lost_event(world))["note"]
    assert "Eviction API: evicting" in note
    assert "was not kept" in note
    town.observer.say_delay("a drain", world.name, Reason.EVICTED, PODS, has_condition("DisruptionTarget", "True"))


async def test_a_pod_of_higher_priority_takes_the_room(
    town: Town, world: World, request: pytest.FixtureRequest
) -> None:
    await town.client.create(PRIORITIES, "", {"metadata": {"name": "first"}, "value": 1000})
    first = await started(world, request.node.name)
    # One of the two finds the free node, the other takes the sandbox's.
    others = ["first-one", "first-two"]
    spec = {
        "priorityClassName": "first",
        "containers": [{"name": "busy", "image": "busy", "resources": {"requests": {"cpu": CPU}}}],
    }
    for name in others:
        await town.client.create(PODS, "default", {"metadata": {"name": name}, "spec": spec})
    try:
        homeless = await world.until(Reason.UNSCHEDULABLE)
        assert message(homeless).startswith("The pod cannot be scheduled: 0/2 nodes are available: 2 Insufficient cpu.")
        told = await seen_by_client(town, request.node.name)
        assert (told["status"], told["pod_status"]) == ("starting", "pending")
        for words in ("Unschedulable", "cannot be scheduled", "Insufficient cpu"):
            assert words in told["pod_logs"]
        why = await explained(town, world)
        assert (why["reason"], why["remedy"]) == ("Unschedulable", MEANINGS[Reason.UNSCHEDULABLE].remedy)
        assert "Evicted" in town.observer.reasons(world.name)
        assert "preempting" in (await pod_lost_event(world))["note"]
        town.observer.say_delay(
            "pre-emption", world.name, Reason.UNSCHEDULABLE, PODS, has_condition("PodScheduled", "False")
        )
    finally:
        for name in others:
            await town.client.delete(PODS, "default", name, grace_seconds=0)
    again = await world.until(Reason.READY)
    assert again.status.pod_uid != first.status.pod_uid


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def basin(town: Town) -> AsyncIterator[Basin]:
    async with warm_pods.filled(town) as basin:
        yield basin


@pytest.mark.parametrize("scenario", warm_pods.SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_pools(town: Town, basin: Basin, scenario: Callable[[Town, Basin], Awaitable[None]]) -> None:
    await scenario(town, basin)

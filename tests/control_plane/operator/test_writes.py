"""What each step in the life of a sandbox costs in API writes, counted from the API server's audit log.

The numbers are a budget: a test that fails here because of one more write has found a defect.
"""

from typing import Any

import pytest

from control_plane.cluster_scope import STORAGE_CLASSES, VOLUMES
from control_plane.operator.kubelet import POD_IP, Kubelet
from control_plane.operator.ledger import Ledger
from control_plane.operator.world import World
from control_plane.waiting import eventually
from sandbox_common.kube.resources import PODS, SANDBOX_CLASSES, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_common.remedies import said
from sandbox_crds.models import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

COLD_START = ["create pods", "create secrets", "patch sandboxes/status"]


async def start(world: World, kubelet: Kubelet, **spec: Any) -> Sandbox:
    """Bring up the test's Sandbox to its readiness, in less than a second."""
    sandbox = await world.add(**spec)
    pod = await world.pod(sandbox)
    await kubelet.run(pod["metadata"]["name"])
    return await world.until(Reason.READY)


async def test_cold_start_and_stop(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    sandbox = await start(world, kubelet)
    assert await ledger.new() == COLD_START
    status = sandbox.status
    pod = await world.pod(sandbox)
    assert (status.pod_name, status.pod_uid) == (pod["metadata"]["name"], pod["metadata"]["uid"])
    assert (status.pod_ip, status.launch, status.restart_count) == (POD_IP, "Cold", 0)
    assert status.key_id
    assert status.start_time <= status.ready_time
    assert status.observed_generation == sandbox.metadata.generation

    await world.delete()
    await world.gone(SECRETS, status.pod_name)
    await world.pod(sandbox, keep=lambda pod: "deletionTimestamp" in pod["metadata"])
    await kubelet.end(status.pod_name)
    await world.gone(PODS, status.pod_name)
    assert await ledger.new() == []


async def test_volume_and_service_cost_one_write_each(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    await start(world, kubelet, service="Headless", className="kept")
    assert await ledger.new() == sorted([*COLD_START, "create persistentvolumeclaims", "create services"])
    service = await world.client.get(SERVICES, world.namespace, world.name)
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["ports"][0]["port"] == 60000


async def test_suspend_and_resume(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    first = await start(world, kubelet, className="kept")
    await ledger.new()

    await world.suspend(True)
    pod = await world.pod(first, keep=lambda pod: "deletionTimestamp" in pod["metadata"])
    await kubelet.end(pod["metadata"]["name"])
    suspended = await world.until(Reason.SUSPENDED)
    assert await ledger.new() == ["delete pods", "patch sandboxes/status"]
    assert (suspended.status.pod_name, suspended.status.pod_uid, suspended.status.pod_ip) == ("", "", "")
    assert suspended.status.key_id == first.status.key_id
    [condition] = suspended.status.conditions
    assert suspended.status.workspace_kept
    assert said(suspended.status, condition) == "Suspended on request. The workspace is kept."
    secret = await world.client.get(SECRETS, world.namespace, first.status.pod_name)
    claim = await world.client.get(VOLUME_CLAIMS, world.namespace, first.status.pod_name)

    await world.suspend(False)
    await kubelet.run((await world.pod(first))["metadata"]["name"])
    resumed = await world.until(Reason.READY)
    # What was kept answers 409 and stays as it was.
    assert await ledger.new() == sorted([*COLD_START, "create persistentvolumeclaims"])
    assert (resumed.status.launch, resumed.status.key_id) == ("Resume", first.status.key_id)
    for resource, kept in ((SECRETS, secret), (VOLUME_CLAIMS, claim)):
        found = await world.client.get(resource, world.namespace, first.status.pod_name)
        assert found["metadata"]["uid"] == kept["metadata"]["uid"]


async def test_a_workspace_that_was_not_kept_is_said_to_be_lost(world: World, kubelet: Kubelet) -> None:
    sandbox = await start(world, kubelet)
    await world.suspend(True)
    await world.pod(sandbox, keep=lambda pod: "deletionTimestamp" in pod["metadata"])
    # The containers take their time: that is told.
    [condition] = (await world.until(Reason.SUSPENDING)).status.conditions
    lost = "Suspended on request. The workspace was not kept, because it was not on a volume."
    assert condition.message == f"The pod ends. {lost}"
    await kubelet.end(sandbox.status.pod_name)
    suspended = await world.until(Reason.SUSPENDED)
    [condition] = suspended.status.conditions
    assert (said(suspended.status, condition), suspended.status.workspace_kept) == (lost, False)


async def test_a_slow_start_is_told_once(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    sandbox = await world.add()
    pod = (await world.pod(sandbox))["metadata"]["name"]
    await kubelet.bind(pod)
    await kubelet.report(pod, phase="Pending", state={"waiting": {"reason": "ContainerCreating"}})
    starting = await world.until(Reason.STARTING)
    assert (starting.status.pod_ip, starting.status.launch) == ("", "Cold")
    await kubelet.report(pod)
    await kubelet.report(pod, ready=True)
    await world.until(Reason.READY)
    assert await ledger.new() == sorted([*COLD_START, "patch sandboxes/status"])


@pytest.mark.parametrize(("expands", "event"), [(True, "VolumeGrows"), (False, "VolumeSizeKept")])
async def test_a_volume_grows_with_its_class_where_that_is_allowed(
    world: World, kubelet: Kubelet, ledger: Ledger, expands: bool, event: str
) -> None:
    name = f"{world.namespace}-{world.name}"
    storage_class = {"metadata": {"name": name}, "provisioner": "example.com/none", "allowVolumeExpansion": expands}
    await world.client.create(STORAGE_CLASSES, "", storage_class)
    volume = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": name,
        "hostPath": {"path": "/nowhere"},
    }
    await world.client.create(VOLUMES, "", {"metadata": {"name": name}, "spec": volume})
    workspace = {"persistent": True, "size": "1Gi", "storageClassName": name}
    await world.add_class(name, workspace=workspace)
    first = await start(world, kubelet, className=name)

    async def size() -> str | None:
        claim = await world.client.get(VOLUME_CLAIMS, world.namespace, first.status.pod_name)
        return claim["spec"]["resources"]["requests"]["storage"] if claim["status"]["phase"] == "Bound" else None

    assert await eventually(size) == "1Gi"
    await world.client.patch(SANDBOX_CLASSES, world.namespace, name, {"spec": {"workspace": {"size": "5Gi"}}})
    await world.suspend(True)
    await world.pod(first, keep=lambda pod: "deletionTimestamp" in pod["metadata"])
    await kubelet.end(first.status.pod_name)
    await world.until(Reason.SUSPENDED)
    await ledger.new()

    await world.suspend(False)
    await kubelet.run((await world.pod(first))["metadata"]["name"])
    await world.until(Reason.READY)
    assert await ledger.new() == sorted(
        [*COLD_START, "create events", "create persistentvolumeclaims", "patch persistentvolumeclaims"]
    )
    [told] = await world.events(event)
    assert ("from 1Gi to 5Gi" in told["note"]) is expands
    assert ("allowVolumeExpansion" in told["note"]) is not expands
    assert await size() == ("5Gi" if expands else "1Gi")
    await world.client.delete(VOLUMES, "", name)
    await world.client.delete(STORAGE_CLASSES, "", name)

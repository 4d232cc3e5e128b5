"""The operator is killed at each kind of its writes, just before it and just after it; the next one goes on.

`crash_points.OPERATOR` has the kinds; here is, for each one, a life in which it is written.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from control_plane import crash_points
from control_plane.images.shelf import IMAGE_VOLUMES, NODE_NAMES, TEN, Kubelets, Shelf, two_nodes
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.mortal import DyingClient, operator
from control_plane.operator.world import World
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from sampling import drawn
from sandbox_common import times
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import (
    LEASES,
    PODS,
    SANDBOX_USAGES,
    SANDBOXES,
    SECRETS,
    SERVICES,
    VOLUME_CLAIMS,
)
from sandbox_common.reasons import ImagesReason, PoolReason, Reason
from sandbox_crds.models import SandboxUsage
from sandbox_crds.models.sandbox_usage import DAYS_KEPT
from sandbox_crds.names import pod_name, usage_name
from sandbox_operator.builders.owned import owner_reference
from sandbox_operator.leader.election import Timing
from sandbox_operator.leader.elector import Elector
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, controller_uid

TIMING = Timing(duration=2, renew=0.2, deadline=1)
_ANSWER_SECONDS = 10.0
OWNER = "team"
PAUSE_IMAGE = "registry.example/pause:1"


@dataclass
class Place:
    """Where a life is lived."""

    client: KubeClient
    namespace: str
    stack: AsyncExitStack

    async def run_pods(self) -> World:
        """A sandbox `one` on a node that runs all pods."""
        await self.stack.enter_async_context(Kubelet(self.client, self.namespace).running_all())
        world = World(self.client, self.namespace, "one")
        await world.add_class()
        await world.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
        return world

    async def names(self, resource: Any) -> set[str]:
        """Names of the objects in the namespace that somebody owns."""
        items = (await self.client.list(resource, self.namespace))["items"]
        return {item["metadata"]["name"] for item in items if controller_uid(item)}


type Life = Callable[[Place], Coroutine[Any, Any, None]]
"""Goes on while the operator dies and the next one comes, and judges what comes of it."""


async def started(place: Place) -> None:
    """A cold start with a volume and a Service, a suspension, and the Service is no longer wanted after the resume."""
    world = await place.run_pods()
    sandbox = await world.add(service="Headless", className="kept")
    await world.until(Reason.READY)
    await world.suspend(True)
    await world.until(Reason.SUSPENDED)
    await world.suspend(False)
    ready = await world.until(Reason.READY)
    name = pod_name("one", sandbox.metadata.uid)
    assert (ready.status.pod_name, ready.status.volume_claim) == (name, name)
    for resource in (PODS, SECRETS, VOLUME_CLAIMS):
        assert await place.names(resource) == {name}
    assert await place.names(SERVICES) == {"one"}
    await world.edit(service="None")
    await world.gone(SERVICES, "one")


async def given_up(place: Place) -> None:
    """A resume that takes too long, since no node runs its pod."""
    world = World(place.client, place.namespace, "one")
    await world.add_class(progressDeadlineSeconds=2)
    async with Kubelet(place.client, place.namespace).running_all():
        await world.add()
        await world.until(Reason.READY)
        await world.suspend(True)
        await world.until(Reason.SUSPENDED)
    await world.suspend(False)
    sandbox = await world.until(Reason.START_TIMEOUT)
    assert sandbox.spec.suspend_reason == "StartTimeout"
    assert await place.names(PODS) == set()


async def announced(place: Place) -> None:
    """A life that ends, which an Event announces before."""
    world = await place.run_pods()
    await world.add(maximumLifeSeconds=4)
    await world.gone(SANDBOXES, "one")
    assert len(await world.events("ExpiringSoon")) == 1


async def claimed(place: Place) -> None:
    """A warm start with a volume."""
    basin = Basin(place.client, place.namespace, "pool")
    await place.stack.enter_async_context(Node(place.client, place.namespace).running_all())
    await basin.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
    await basin.add_pool(replicas=1, className="kept")
    await basin.told(PoolReason.FILLED, ready_replicas=1)
    sandbox = await basin.add("one", className="kept")
    ready = await basin.until(Reason.READY, "one")
    await basin.told(PoolReason.FILLED, ready_replicas=1, replicas=1)
    owned = [
        item["metadata"]["name"]
        for resource in (PODS, VOLUME_CLAIMS)
        for item in (await place.client.list(resource, place.namespace))["items"]
        if controller_uid(item) == sandbox.metadata.uid
    ]
    if ready.status.launch == "Warm":
        assert owned == [ready.status.pod_name] * 2
    assert len(await place.names(PODS)) == 2


async def with_an_old_key(place: Place) -> None:
    """The Secret of an earlier start has another key."""
    world = await place.run_pods()
    sandbox = await world.add(suspend=True)
    name = pod_name("one", sandbox.metadata.uid)
    metadata = {"name": name, "ownerReferences": [owner_reference(sandbox)], "annotations": {KEY_ID_ANNOTATION: "old"}}
    await place.client.create(SECRETS, place.namespace, {"metadata": metadata})
    await world.suspend(False)
    ready = await world.until(Reason.READY)
    secret = await place.client.get(SECRETS, place.namespace, name)
    assert secret["metadata"]["annotations"][KEY_ID_ANNOTATION] == ready.status.key_id


async def kept(place: Place) -> None:
    """Images come to nodes."""
    await place.stack.enter_async_context(two_nodes(place.client))
    await place.stack.enter_async_context(Kubelets(place.client, place.namespace).running_all())
    shelf = Shelf(place.client, place.namespace, "tasks")
    await shelf.list(images=TEN[:2], parallelism=1)
    await shelf.reports(ImagesReason.KEPT, ready=4, wanted=4, pulling=0)
    for node in NODE_NAMES:
        assert await shelf.kept(node) == set(TEN[:2])
    assert len(await place.names(PODS)) == 4


async def recorded(place: Place) -> None:
    """The first record of an owner."""
    world = await place.run_pods()
    await world.add(owner=OWNER)
    found = await _record(place, lambda item: item.status.total.cold_starts > 0)
    assert found.status.total.cold_starts == 1


async def recorded_on(place: Place) -> None:
    """A record that goes on."""
    world = await place.run_pods()
    today = times.utc_now().date().isoformat()
    await _add_record(place, timedelta(minutes=10), {today: {"default": {"coldStarts": 1, "runningSeconds": 100}}})
    await world.add(owner=OWNER)
    found = await _record(place, lambda item: item.status.total.cold_starts > 1)
    assert found.status.total.cold_starts == 2
    assert found.status.total.running_seconds >= 100


async def forgotten(place: Place) -> None:
    """A record whose days are old."""
    await place.run_pods()
    age = timedelta(days=DAYS_KEPT + 3)
    day = (times.utc_now() - age).date().isoformat()
    await _add_record(place, age, {day: {"default": {"coldStarts": 1}}})

    async def gone() -> bool:
        return await place.client.find(SANDBOX_USAGES, place.namespace, usage_name(OWNER)) is None

    await eventually(gone)


async def _add_record(place: Place, age: timedelta, days: Mapping[str, Any]) -> None:
    through = times.rfc3339(times.utc_now() - age)
    [amounts] = [amounts for classes in days.values() for amounts in classes.values()]
    body = {
        "apiVersion": SANDBOX_USAGES.api_version,
        "kind": SANDBOX_USAGES.kind,
        "metadata": {"name": usage_name(OWNER)},
        "spec": {"owner": OWNER},
        "status": {"through": through, "total": amounts, "days": days},
    }
    await place.client.create(SANDBOX_USAGES, place.namespace, body)


async def _record(place: Place, keep: Callable[[SandboxUsage], bool]) -> SandboxUsage:
    async def look() -> SandboxUsage | None:
        body = await place.client.get(SANDBOX_USAGES, place.namespace, usage_name(OWNER))
        found = SandboxUsage.model_validate(body)
        return found if keep(found) else None

    return await eventually(look)


LIVES: Mapping[str, Life] = {
    "create events": announced,
    "create persistentvolumeclaims": started,
    "create pods": started,
    "create sandboxusages": recorded,
    "create secrets": started,
    "create services": started,
    "delete pods": started,
    "delete sandboxes": announced,
    "delete sandboxusages": forgotten,
    "delete secrets": with_an_old_key,
    "delete services": started,
    "patch persistentvolumeclaims": claimed,
    "patch pods": claimed,
    "patch sandboxes": given_up,
    "patch sandboxes/status": started,
    "patch sandboximages/status": kept,
    "patch sandboxpools/status": claimed,
    "patch sandboxusages": recorded_on,
}
_LEASES = {kind for kind in crash_points.OPERATOR if kind.endswith(" leases")}
POINTS = [
    *((kind, LIVES[kind]) for kind in crash_points.OPERATOR if kind not in _LEASES),
    # Those of lists of images are other pods.
    ("create pods", kept),
]


@pytest.mark.parametrize(
    ("kind", "life", "last_is_sent"),
    [
        pytest.param(kind, life, sent, marks=IMAGE_VOLUMES if life is kept else ())
        for (kind, life), sent in drawn(list(product(POINTS, (False, True))), 5)
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_the_next_operator_goes_on(
    kind: str,
    life: Life,
    last_is_sent: bool,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_keys: MasterKeys,
) -> None:
    options = {"read_nodes": True, "pause_image": PAUSE_IMAGE} if life is kept else {}
    async with (
        AsyncExitStack() as stack,
        DyingClient.dying(control_plane, 0, last_is_sent, at=kind) as dying,
        DyingClient.dying(control_plane, 0, False, at="nothing") as second,
    ):
        living = asyncio.create_task(life(Place(client, namespace, stack)))
        async with operator(dying, namespace, master_keys, **options), asyncio.timeout(PATIENCE):
            dies = asyncio.create_task(dying.dead.wait())
            await asyncio.wait({living, dies}, return_when=asyncio.FIRST_COMPLETED)
            # What is written last may be seen before it is answered.
            await asyncio.wait({dies}, timeout=_ANSWER_SECONDS)
            assert dies.done(), f"{living}: it does not die"
        async with operator(second, namespace, master_keys, **options):
            await living


@pytest.mark.parametrize("last_is_sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", sorted(_LEASES))
async def test_another_operator_leads(
    kind: str, last_is_sent: bool, control_plane: ControlPlane, client: KubeClient, namespace: str
) -> None:
    leads = asyncio.Event()

    async def term(_: KubeClient) -> None:
        leads.set()
        await asyncio.get_running_loop().create_future()

    async def idle(_: KubeClient) -> None:
        await asyncio.get_running_loop().create_future()

    async with DyingClient.dying(control_plane, 0, last_is_sent, at=kind) as dying:
        first = asyncio.create_task(Elector(dying, namespace, "lease", TIMING, "first").run(idle))
        await asyncio.wait_for(dying.dead.wait(), PATIENCE)
        second = asyncio.create_task(Elector(client, namespace, "lease", TIMING, "second").run(term))
        await asyncio.wait_for(leads.wait(), PATIENCE)
        lease = await client.get(LEASES, namespace, "lease")
        assert lease["spec"]["holderIdentity"] == "second"
        for running in (first, second):
            running.cancel()
        # The dead one waits for an answer that never comes, and gives up.
        await asyncio.wait({first, second})


def test_there_is_a_life_for_each_kind_of_writes() -> None:
    assert LIVES.keys() | _LEASES == set(crash_points.OPERATOR)

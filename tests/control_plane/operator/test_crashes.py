"""The operator may be killed between any two writes; the next one goes on from the objects."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from control_plane.audit import Audit
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.mortal import MANY, DyingClient, deaths, operator
from control_plane.operator.world import World
from control_plane.waiting import PATIENCE
from local_cluster.control_plane import ControlPlane
from sampling import drawn
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOXES, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_common.times import rfc3339
from sandbox_crds.models import Sandbox
from sandbox_operator.app import USER_AGENT
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION

WRITES_OF_A_LIFE = 11
"""Secret, claim, Service, pod, status; pod, status; Secret, claim, pod, status. A Service that is as it should be is
not written again."""


type Life = Callable[[World, Kubelet], Coroutine[None, None, Sandbox]]


@pytest.fixture
async def second(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The client of the next operator."""
    client = await KubeClient.connect(str(control_plane.kubeconfig), USER_AGENT)
    yield client
    await client.close()


async def live(world: World) -> Sandbox:
    """Start, suspend and resume the test's Sandbox."""
    await world.add(service="Headless", className="kept")
    await world.until(Reason.READY)
    await world.suspend(True)
    await world.until(Reason.SUSPENDED)
    await world.suspend(False)
    return await world.until(Reason.READY)


@pytest.mark.parametrize(
    ("left", "last_is_sent"),
    deaths(WRITES_OF_A_LIFE, 4),
)
async def test_the_next_operator_goes_on(
    left: int,
    last_is_sent: bool,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    second: KubeClient,
    master_keys: MasterKeys,
    audit: Audit,
) -> None:
    world, kubelet = World(client, namespace, "one"), Kubelet(client, namespace)
    await world.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
    async with DyingClient.dying(control_plane, left, last_is_sent) as dying, kubelet.running_all():
        life = asyncio.create_task(live(world))
        async with operator(dying, namespace, master_keys), asyncio.timeout(PATIENCE):
            await dying.dead.wait()
        async with operator(second, namespace, master_keys):
            sandbox = await life
    await _is_whole(world, kubelet, sandbox)
    before = len(await audit.writes(client, namespace, USER_AGENT))
    async with operator(second, namespace, master_keys) as third:
        await third.caches.wait_synced()
        await world.add("other", className="kept")
        async with kubelet.running_all():
            await world.until(Reason.READY, "other")
    after = await audit.writes(client, namespace, USER_AGENT)
    assert all(write.name.startswith("other") for write in after[before:])


async def test_there_is_a_death_for_each_write_of_a_life(
    control_plane: ControlPlane, client: KubeClient, namespace: str, master_keys: MasterKeys
) -> None:
    """A write that comes later must be counted above, and so be died at."""
    world, kubelet = World(client, namespace, "one"), Kubelet(client, namespace)
    await world.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
    async with (
        DyingClient.dying(control_plane, MANY, False) as immortal,
        kubelet.running_all(),
        operator(immortal, namespace, master_keys),
    ):
        await live(world)
    assert MANY - immortal.left == WRITES_OF_A_LIFE


async def _is_whole(world: World, kubelet: Kubelet, sandbox: Sandbox) -> None:
    [pod] = await kubelet.pods()
    status = sandbox.status
    assert (status.pod_name, status.pod_uid) == (pod["metadata"]["name"], pod["metadata"]["uid"])
    assert status.launch == "Resume"
    secret = await world.client.get(SECRETS, world.namespace, status.pod_name)
    assert secret["metadata"]["annotations"][KEY_ID_ANNOTATION] == status.key_id
    await world.client.get(VOLUME_CLAIMS, world.namespace, status.pod_name)
    await world.client.get(SERVICES, world.namespace, sandbox.metadata.name)


async def restarted(world: World, kubelet: Kubelet) -> Sandbox:
    """Start the test's Sandbox and restart it."""
    async with kubelet.running_all():
        await world.add()
        first = await world.until(Reason.READY)
        await world.edit(restartedAt=rfc3339(datetime.now(UTC) + timedelta(minutes=1)))
        return await world.until(Reason.READY, keep=lambda it: it.status.pod_uid != first.status.pod_uid)


async def late(world: World, kubelet: Kubelet) -> Sandbox:
    """Resume the test's Sandbox when there is no node for it, until its start is given up."""
    await world.add_class("hasty", progressDeadlineSeconds=2)
    async with kubelet.running_all():
        await world.add(className="hasty")
        await world.until(Reason.READY)
        await world.suspend(True)
        await world.until(Reason.SUSPENDED)
    await world.suspend(False)
    return await world.until(Reason.START_TIMEOUT)


async def outlived(world: World, kubelet: Kubelet) -> Sandbox:
    """Let the test's Sandbox reach its maximum life."""
    async with kubelet.running_all():
        sandbox = await world.add(maximumLifeSeconds=4)
        await world.gone(SANDBOXES, world.name)
    return sandbox


# With the writes of each that come after what `live` has tried: status, deletion, Secret, pod, status; Secret, pod,
# status, spec, Event, deletion, status; Event, status, deletion, Event.
LIVES: list[tuple[Life, int]] = [
    *((restarted, left) for left in range(3, 8)),
    *((late, left) for left in range(7, 12)),
    *((outlived, left) for left in range(3, 7)),
]


@pytest.mark.parametrize(
    ("life", "left", "last_is_sent"),
    drawn([(*life, sent) for life, sent in product(LIVES, (False, True))], 9),
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_the_next_operator_goes_on_with_what_it_had_begun(
    life: Life,
    left: int,
    last_is_sent: bool,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    second: KubeClient,
    master_keys: MasterKeys,
) -> None:
    world, kubelet = World(client, namespace, "one"), Kubelet(client, namespace)
    await world.add_class()
    async with DyingClient.dying(control_plane, left, last_is_sent) as dying:
        living = asyncio.create_task(life(world, kubelet))
        async with operator(dying, namespace, master_keys), asyncio.timeout(PATIENCE):
            await dying.dead.wait()
        async with operator(second, namespace, master_keys):
            sandbox = await living
    # Nothing is told twice, and nothing that was not so. What is said after a deletion dies with who would say it.
    told = {
        reason: len(await world.events(reason)) for reason in ("PodLost", "StartTimeout", "ExpiringSoon", "Expired")
    }
    assert told["PodLost"] == 0
    assert told["StartTimeout"] <= (life is late)
    assert told["ExpiringSoon"] == (life is outlived)
    assert told["Expired"] <= (life is outlived)
    if life is late:
        assert sandbox.spec.suspend_reason == "StartTimeout"


async def test_a_new_master_key_does_not_change_the_key_of_a_sandbox_that_starts(
    client: KubeClient, namespace: str, control_plane: ControlPlane, master_keys: MasterKeys
) -> None:
    """The first operator has made the Secret, and dies before anything else tells which key it holds."""
    world, kubelet = World(client, namespace, "one"), Kubelet(client, namespace)
    await world.add_class()
    sandbox = await world.add()
    async with DyingClient.dying(control_plane, 0, True) as dying, operator(dying, namespace, master_keys):
        await dying.dead.wait()
    rotated = MasterKeys.of({**master_keys.versions, 2: b"n" * 32})
    async with operator(client, namespace, rotated), kubelet.running_all():
        ready = await world.until(Reason.READY)
    assert ready.status.key_id == master_keys.key_id(sandbox.metadata.uid)

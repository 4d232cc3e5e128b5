"""The operator may be killed between any two writes for a pool; the next one goes on from the objects."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from control_plane.audit import Audit
from control_plane.operator.mortal import MANY, DyingClient, deaths, operator
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.reasons import PoolReason
from sandbox_operator.app import USER_AGENT
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION

WRITES = 14
"""Two pods with their Secrets, and the status before and after; the same and two deletions for the next image."""

VOLUMES = 4
"""What volumes add."""

NEXT_IMAGE = "registry.example/agent-server:2"


@pytest.fixture
async def second(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The client of the next operator."""
    client = await KubeClient.connect(str(control_plane.kubeconfig), USER_AGENT)
    yield client
    await client.close()


async def live(basin: Basin, class_name: str) -> None:
    """Fill the pool, and roll it."""
    await basin.add_pool(replicas=2, className=class_name)
    await basin.told(PoolReason.FILLED, ready_replicas=2)
    await basin.edit_pool(image=NEXT_IMAGE)

    async def rolled() -> bool:
        free = await basin.free()
        return len(free) == 2 and {pod["spec"]["containers"][0]["image"] for pod in free} == {NEXT_IMAGE}

    await eventually(rolled)
    await basin.told(PoolReason.FILLED, ready_replicas=2, replicas=2)


@pytest.mark.parametrize(
    ("class_name", "left", "last_is_sent"),
    [
        *(("default", *death) for death in deaths(WRITES, 5)),
        *(("kept", *death) for death in deaths(WRITES + VOLUMES, 5)),
    ],
)
async def test_the_next_operator_goes_on(
    class_name: str,
    left: int,
    last_is_sent: bool,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    second: KubeClient,
    master_keys: MasterKeys,
    audit: Audit,
) -> None:
    basin, node = Basin(client, namespace, "pool"), Node(client, namespace)
    await basin.add_class()
    await basin.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
    async with DyingClient.dying(control_plane, left, last_is_sent) as dying, node.running_all():
        life = asyncio.create_task(live(basin, class_name))
        async with operator(dying, namespace, master_keys), asyncio.timeout(PATIENCE):
            await dying.dead.wait()
        async with operator(second, namespace, master_keys):
            await life
            # Nothing is left over: no pod too many, and each with its own Secret.
            pods, secrets = await basin.pods(), {item["metadata"]["name"]: item for item in await basin.secrets()}
            assert len(pods) == 2
            for pod in pods:
                annotations = secrets[pod["metadata"]["name"]]["metadata"]["annotations"]
                assert annotations[KEY_ID_ANNOTATION] == pod["metadata"]["annotations"][KEY_ID_ANNOTATION]
            names = {pod["metadata"]["name"] for pod in pods} if class_name == "kept" else set[str]()

            async def only_theirs() -> bool:
                return await basin.volumes() == names

            # The garbage collector deletes those of former pods.
            await eventually(only_theirs)
        before = await audit.writes(client, namespace, USER_AGENT)
        # A third one finds nothing to do for this pool.
        async with operator(second, namespace, master_keys):
            await basin.add_pool("other", replicas=1)
            await basin.told(PoolReason.FILLED, "other", ready_replicas=1)
        after = await audit.writes(client, namespace, USER_AGENT)
        assert all(write.name.startswith("other") for write in after[len(before) :])


@pytest.mark.parametrize(("class_name", "writes"), [("default", WRITES), ("kept", WRITES + VOLUMES)])
async def test_there_is_a_death_for_each_write_for_a_pool(
    class_name: str,
    writes: int,
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_keys: MasterKeys,
) -> None:
    """A write that comes later must be counted above, and so be died at."""
    basin, node = Basin(client, namespace, "pool"), Node(client, namespace)
    await basin.add_class()
    await basin.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
    async with (
        DyingClient.dying(control_plane, MANY, False) as immortal,
        node.running_all(),
        operator(immortal, namespace, master_keys),
    ):
        await live(basin, class_name)
    assert MANY - immortal.left == writes

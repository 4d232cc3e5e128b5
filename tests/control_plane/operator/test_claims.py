"""Warm pods and the sandboxes that get them, whoever dies or hurries meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from control_plane.audit import Audit
from control_plane.cluster_scope import connected
from control_plane.operator.mortal import DyingClient, operator
from control_plane.pools.basin import Basin, Node
from control_plane.waiting import PATIENCE, eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import ApiError, KubeClient, KubeObject
from sandbox_common.kube.resources import PODS, SECRETS, SERVICES, VOLUME_CLAIMS
from sandbox_common.reasons import PoolReason, Reason
from sandbox_common.times import rfc3339
from sandbox_crds.api import POOL_LABEL, SANDBOX_LABEL
from sandbox_crds.models import Sandbox, SandboxClass
from sandbox_operator.app import USER_AGENT
from sandbox_operator.builders.owned import name_of
from sandbox_operator.builders.secret import build_secret
from sandbox_operator.pools.claim_patch import claim_patch
from sandbox_operator.pools.matching import MissReason
from sandbox_operator.watching.pods import KEY_ID_ANNOTATION, Pod, controller_uid, decode

POOL = "pool"
KEPT = "kept"
"""A class with volumes."""
NO_CLASS = SandboxClass()


@pytest.fixture
async def basin(client: KubeClient, namespace: str) -> Basin:
    """The test's namespace with a class; its Sandbox is called `one`."""
    basin = Basin(client, namespace, "one")
    # Otherwise no idle timeout applies, so none differs.
    await basin.add_class(workspace={"discardOnSuspension": True})
    await basin.add_class(KEPT, workspace={"persistent": True, "size": "1Gi"})
    return basin


@pytest.fixture
def node(client: KubeClient, namespace: str) -> Node:
    return Node(client, namespace)


@pytest.fixture
async def second(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The client of another operator."""
    client = await KubeClient.connect(str(control_plane.kubeconfig), USER_AGENT)
    yield client
    await client.close()


async def fill(basin: Basin, node: Node, replicas: int, class_name: str) -> list[Pod]:
    """Make the pool, under a running operator; gives its pods. What refills it does not run."""
    async with node.running_all():
        await basin.add_pool(POOL, replicas=replicas, className=class_name)
        await basin.told(PoolReason.FILLED, POOL)
    return [decode(pod) for pod in await basin.free(POOL)]


@asynccontextmanager
async def filled(
    basin: Basin, node: Node, client: KubeClient, keys: MasterKeys, replicas: int = 1, class_name: str = "default"
) -> AsyncGenerator[list[Pod]]:
    """An operator, and a pool that it has filled."""
    async with operator(client, basin.namespace, keys):
        yield await fill(basin, node, replicas, class_name)


async def pods_of(basin: Basin, sandbox: Sandbox) -> list[Pod]:
    """All pods that the Sandbox owns."""
    answer = await basin.client.list(PODS, basin.namespace, labelSelector=SANDBOX_LABEL)
    return [pod for pod in map(decode, answer["items"]) if pod.owner_uid == sandbox.metadata.uid]


async def is_whole(basin: Basin, sandbox: Sandbox) -> Pod:
    """Its one pod, which is the one that the status names, and holds the key that it names."""

    async def alone() -> Pod | None:
        pods = await pods_of(basin, sandbox)
        return pods[0] if len(pods) == 1 else None

    pod = await eventually(alone)
    status = sandbox.status
    assert (pod.name, pod.uid, pod.sandbox) == (status.pod_name, status.pod_uid, sandbox.metadata.name)
    assert (status.launch == "Warm", status.pool) == (bool(pod.claimed), pod.pool)
    secret = await basin.client.get(SECRETS, basin.namespace, pod.name)
    assert secret["metadata"]["annotations"][KEY_ID_ANNOTATION] == status.key_id
    if pod.volume_claim:
        assert pod.volume_claim == (status.volume_claim or name_of(sandbox))
        volume = await basin.client.get(VOLUME_CLAIMS, basin.namespace, pod.volume_claim)
        assert controller_uid(volume) == sandbox.metadata.uid
        assert POOL_LABEL not in volume["metadata"]["labels"]
    return pod


async def volumes_of(basin: Basin, sandbox: Sandbox) -> set[str]:
    """Names of the volume claims that the Sandbox owns."""
    answer = await basin.client.list(VOLUME_CLAIMS, basin.namespace)
    return {item["metadata"]["name"] for item in answer["items"] if controller_uid(item) == sandbox.metadata.uid}


def derived(sandbox: Sandbox, keys: MasterKeys) -> str:
    return keys.key_id(sandbox.metadata.uid)


@pytest.mark.parametrize(("class_name", "more"), [("default", []), (KEPT, [("patch persistentvolumeclaims", 200)])])
async def test_a_hit_costs_three_writes_and_one_more_with_a_volume(
    class_name: str,
    more: list[tuple[str, int]],
    basin: Basin,
    node: Node,
    second: KubeClient,
    master_keys: MasterKeys,
    audit: Audit,
) -> None:
    async with filled(basin, node, second, master_keys, class_name=class_name) as [warm]:
        before = len(await audit.writes(basin.client, basin.namespace))
        await basin.add(className=class_name)
        sandbox = await basin.until(Reason.READY)
        writes = (await audit.writes(basin.client, basin.namespace))[before:]
        assert (await is_whole(basin, sandbox)).uid == warm.uid
    status = sandbox.status
    assert (status.launch, status.pool, status.pool_miss, status.pod_ip) == ("Warm", POOL, "", warm.ip)
    assert (status.key_id, status.start_time) == (warm.key_id, rfc3339(warm.created))
    [pod] = await pods_of(basin, sandbox)
    assert pod.claimed
    assert pod.template == warm.template
    # Besides what the pool does: its refill, and its own status now and then.
    own = [(write.what, write.code) for write in writes if write.name in {"one", warm.name}]
    assert own == [("create sandboxes", 201), ("patch pods", 200), *more, ("patch sandboxes/status", 200)]
    assert status.volume_claim == warm.volume_claim == (warm.name if more else "")


async def test_a_service_is_made_for_who_wants_one(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys
) -> None:
    async with filled(basin, node, second, master_keys):
        await basin.add(service="Headless")
        sandbox = await basin.until(Reason.READY)
        await is_whole(basin, sandbox)
    service = await basin.client.get(SERVICES, basin.namespace, "one")
    assert service["spec"]["selector"] == {SANDBOX_LABEL: "one"}
    assert sandbox.status.launch == "Warm"


async def test_misses_have_their_reason(basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys) -> None:
    wanted = {
        MissReason.IMAGE_DIFFERS: {"image": "another"},
        MissReason.COMMAND_DIFFERS: {"command": ["another"]},
        MissReason.WORKING_DIR_DIFFERS: {"workingDir": "/elsewhere"},
        MissReason.ENVIRONMENT_DIFFERS: {"env": [{"name": "A", "value": "b"}]},
        MissReason.RUN_AS_DIFFERS: {"runAsUser": 1234},
        MissReason.IDLE_TIMEOUT_DIFFERS: {"idleTimeoutSeconds": 77},
        MissReason.NOT_ALLOWED: {"warmStart": "Never"},
        MissReason.CLASS_DIFFERS: {"className": KEPT},
    }
    async with filled(basin, node, second, master_keys) as [warm]:
        async with node.running_all():
            for reason, spec in wanted.items():
                await basin.add(reason.lower(), **spec)
            found = {reason: await basin.until(Reason.READY, reason.lower()) for reason in wanted}
        [free] = await basin.free(POOL)
        assert free["metadata"]["uid"] == warm.uid
    for reason, sandbox in found.items():
        assert sandbox.status.pool_miss.startswith(f"{reason}: ")
        assert (sandbox.status.launch, sandbox.status.key_id) == ("Cold", derived(sandbox, master_keys))


async def test_without_a_pool_nothing_is_said_of_pools(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys
) -> None:
    async with operator(second, basin.namespace, master_keys), node.running_all():
        await basin.add()
        assert (await basin.until(Reason.READY)).status.pool_miss == ""


@pytest.mark.parametrize(("operators", "class_name"), [(1, "default"), (2, "default"), (2, KEPT)])
async def test_many_sandboxes_race_for_few_pods(
    operators: int,
    class_name: str,
    basin: Basin,
    node: Node,
    client: KubeClient,
    second: KubeClient,
    control_plane: ControlPlane,
    master_keys: MasterKeys,
) -> None:
    names = [f"racer-{number}" for number in range(24)]
    async with (
        connected(control_plane) as third,
        filled(basin, node, second, master_keys, 6, class_name) as warm,
        another(third, basin.namespace, master_keys, operators),
    ):
        await asyncio.gather(*(basin.add(name, className=class_name) for name in names))
        # Only then is the pool refilled.
        await eventually(lambda: have_begun(basin, names))
        async with node.running_all():
            sandboxes = [await settled(basin, name) for name in names]
        pods = [await is_whole(basin, sandbox) for sandbox in sandboxes]
    assert len({pod.uid for pod in pods}) == len(names)
    if class_name == KEPT:
        assert len({pod.volume_claim for pod in pods}) == len(names)
    claimed = {pod.uid for pod in pods if pod.claimed}
    if operators == 1:
        assert claimed == {pod.uid for pod in warm}
        misses = [sandbox.status.pool_miss for sandbox in sandboxes if sandbox.status.launch == "Cold"]
        assert len(misses) == len(names) - len(warm)
        assert all(miss.startswith(MissReason.POOL_EMPTY) for miss in misses)
    # Nobody has given a pod back: each of the first ones is a sandbox's, or gone.
    free = {pod["metadata"]["uid"] for pod in await basin.free(POOL)}
    assert not free & {pod.uid for pod in warm}


async def have_begun(basin: Basin, names: list[str]) -> bool:
    """Whether each of the sandboxes has a pod."""
    pods = map(decode, (await basin.client.list(PODS, basin.namespace, labelSelector=SANDBOX_LABEL))["items"])
    return {pod.sandbox for pod in pods} >= set(names)


@asynccontextmanager
async def another(client: KubeClient, namespace: str, keys: MasterKeys, operators: int) -> AsyncGenerator[None]:
    """A second operator at the same time, if there are to be two."""
    if operators == 1:
        yield
        return
    async with operator(client, namespace, keys) as running:
        await running.caches.wait_synced()
        yield


async def settled(basin: Basin, name: str) -> Sandbox:
    """The Sandbox once it is ready in a pod that nobody is about to delete."""

    async def look() -> Sandbox | None:
        now = await basin.sandbox(name)
        pods = await pods_of(basin, now)
        condition = now.status.condition("Ready")
        ready = condition is not None and condition.status == "True"
        return now if ready and [pod.uid for pod in pods] == [now.status.pod_uid] else None

    return await eventually(look)


@asynccontextmanager
async def dies(
    basin: Basin,
    node: Node,
    control_plane: ControlPlane,
    keys: MasterKeys,
    left: int,
    last_is_sent: bool,
    service: str = "None",
    class_name: str = "default",
) -> AsyncGenerator[tuple[KubeClient, Pod]]:
    """A pool of one pod, and an operator that has died on the start of the test's Sandbox.

    Gives the next operator's client and the warm pod.
    """
    async with connected(control_plane) as client:
        async with filled(basin, node, client, keys, class_name=class_name) as [warm]:
            pass
        async with (
            DyingClient.dying(control_plane, left, last_is_sent, only="one") as dying,
            operator(dying, basin.namespace, keys),
            asyncio.timeout(PATIENCE),
        ):
            await basin.add(service=service, className=class_name)
            await dying.dead.wait()
        yield client, warm


CRASHES = [
    *(("None", "default", left) for left in range(2)),
    *(("Headless", "default", left) for left in range(3)),
    *(("None", KEPT, left) for left in range(3)),
    *(("Headless", KEPT, left) for left in range(4)),
]
"""The claim, the volume's new owner, if the class has volumes, the Service, if one is wanted, and the status are what
the operator writes."""


@pytest.mark.parametrize(("service", "class_name", "left"), CRASHES)
@pytest.mark.parametrize("last_is_sent", [False, True])
async def test_the_next_operator_goes_on_with_a_claim(
    service: str,
    class_name: str,
    left: int,
    last_is_sent: bool,
    basin: Basin,
    node: Node,
    control_plane: ControlPlane,
    master_keys: MasterKeys,
) -> None:
    async with (
        dies(basin, node, control_plane, master_keys, left, last_is_sent, service, class_name) as (client, warm),
        operator(client, basin.namespace, master_keys),
    ):
        sandbox = await basin.until(Reason.READY)
        assert (await is_whole(basin, sandbox)).uid == warm.uid
    assert (sandbox.status.key_id, sandbox.status.volume_claim) == (warm.key_id, warm.volume_claim)
    assert await volumes_of(basin, sandbox) == ({warm.volume_claim} if class_name == KEPT else set())
    if service == "Headless":
        await basin.client.get(SERVICES, basin.namespace, "one")


@pytest.mark.parametrize(("class_name", "left"), [("default", 1), (KEPT, 1), (KEPT, 2)])
async def test_a_claim_that_comes_to_nothing_since_the_key_was_told_is_thrown_away(
    class_name: str, left: int, basin: Basin, node: Node, control_plane: ControlPlane, master_keys: MasterKeys
) -> None:
    """Between the claim and the status the gateway has told a client the key that the Sandbox has by itself."""
    async with dies(basin, node, control_plane, master_keys, left, False, class_name=class_name) as (client, warm):
        await basin.edit(warmStart="Never")
        async with operator(client, basin.namespace, master_keys), node.running_all():
            sandbox = await basin.until(Reason.READY)
            pod = await is_whole(basin, sandbox)
            await basin.gone(PODS, warm.name)
            # With its volume, whoever owned that meanwhile.
            await basin.gone(VOLUME_CLAIMS, warm.name)
    assert (pod.name, sandbox.status.launch) == (name_of(sandbox), "Cold")
    assert sandbox.status.key_id == derived(sandbox, master_keys)


@pytest.mark.parametrize("class_name", ["default", KEPT])
async def test_a_claimed_pod_that_is_lost_before_anybody_was_told_is_replaced(
    class_name: str, basin: Basin, node: Node, control_plane: ControlPlane, master_keys: MasterKeys
) -> None:
    async with dies(basin, node, control_plane, master_keys, 1, False, class_name=class_name) as (client, warm):
        await node.end(warm.name)
        async with operator(client, basin.namespace, master_keys), node.running_all():
            sandbox = await basin.until(Reason.READY)
            pod = await is_whole(basin, sandbox)
            # Its volume went with it, since nobody had used it.
            await basin.gone(VOLUME_CLAIMS, warm.name)
    assert pod.uid != warm.uid


async def test_a_pod_that_somebody_deletes_is_not_claimed(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys
) -> None:
    """Whatever the caches of operators show."""
    async with filled(basin, node, second, master_keys) as [warm]:
        await basin.client.delete(PODS, basin.namespace, warm.name)
        sandbox = await basin.add(suspend=True)
    with pytest.raises(ApiError) as refused:
        await basin.client.json_patch(
            PODS, basin.namespace, warm.name, claim_patch(warm, sandbox, NO_CLASS, warm.created)
        )
    assert refused.value.code == 422


async def test_a_claimed_pod_is_not_claimed_again(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys
) -> None:
    """Whatever the caches of operators show; nor by the Sandbox that has it."""
    async with filled(basin, node, second, master_keys) as [warm]:
        await basin.add()
        sandbox = await basin.until(Reason.READY)
        other = await basin.add("other", suspend=True)
        for claimant in (sandbox, other):
            with pytest.raises(ApiError) as refused:
                await second.json_patch(
                    PODS, basin.namespace, warm.name, claim_patch(warm, claimant, NO_CLASS, warm.created)
                )
            assert refused.value.code == 422
        assert (await is_whole(basin, sandbox)).uid == warm.uid


async def test_a_resumed_sandbox_keeps_the_key_of_the_warm_pod(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys, audit: Audit
) -> None:
    async with filled(basin, node, second, master_keys) as [warm]:
        await basin.add()
        first = await basin.until(Reason.READY)
        assert (await is_whole(basin, first)).uid == warm.uid
        async with node.running_all():
            await basin.suspend(True)
            suspended = await basin.until(Reason.SUSPENDED)
            await basin.gone(SECRETS, warm.name)
            before = len(await audit.writes(basin.client, basin.namespace, USER_AGENT))
            await basin.suspend(False)
            resumed = await basin.until(Reason.READY)
            writes = (await audit.writes(basin.client, basin.namespace, USER_AGENT))[before:]
        pod = await is_whole(basin, resumed)
    assert (suspended.status.pool, suspended.status.key_id) == ("", warm.key_id)
    assert (resumed.status.launch, resumed.status.pool) == ("Resume", "")
    assert resumed.status.key_id == warm.key_id != derived(resumed, master_keys)
    assert (pod.name, pod.key_id) == (name_of(resumed), warm.key_id)
    own = [write.what for write in writes if write.name in {"one", name_of(resumed)}]
    assert own == ["create secrets", "create pods", "patch sandboxes/status"]


async def test_a_secret_that_a_lost_start_has_left_is_replaced_before_the_pod_is_made(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys
) -> None:
    """Another operator had begun a cold start when this one claimed a pod."""
    async with filled(basin, node, second, master_keys) as [warm]:
        sandbox = await basin.add()
        await basin.until(Reason.READY)
        left = build_secret(sandbox, SandboxClass(), master_keys, derived(sandbox, master_keys))
        await basin.client.create(SECRETS, basin.namespace, left)
        async with node.running_all():
            await basin.suspend(True)
            await basin.until(Reason.SUSPENDED)
            await basin.suspend(False)
            resumed = await basin.until(Reason.READY)
        await is_whole(basin, resumed)
    assert resumed.status.key_id == warm.key_id


async def test_a_restart_replaces_a_claimed_pod_by_a_cold_one(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys
) -> None:
    async with filled(basin, node, second, master_keys) as [warm]:
        # The warm pod is older than this, and still it is what the Sandbox asks for.
        await basin.add(restartedAt=rfc3339(datetime.now(UTC) + timedelta(seconds=30)))
        first = await basin.until(Reason.READY)
        assert first.status.pod_uid == warm.uid
        async with node.running_all():
            await basin.edit(restartedAt=rfc3339(datetime.now(UTC) + timedelta(seconds=60)))
            again = await basin.until(Reason.READY, keep=lambda it: it.status.pod_uid != warm.uid)
        await is_whole(basin, again)
    assert again.status.key_id == warm.key_id


async def test_a_deleted_sandbox_takes_its_claimed_pod_along(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys
) -> None:
    async with filled(basin, node, second, master_keys) as [warm]:
        await basin.add()
        await basin.until(Reason.READY)
        await basin.delete()
        async with node.running_all():
            await basin.gone(PODS, warm.name)
            await basin.gone(SECRETS, warm.name)


async def test_sandboxes_start_cold_when_claims_are_forbidden(
    basin: Basin, node: Node, second: KubeClient, master_keys: MasterKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forbidden(*_: object) -> KubeObject:
        raise ApiError(403, "Forbidden", "cannot patch pods")

    async with filled(basin, node, second, master_keys):
        monkeypatch.setattr(second, "json_patch", forbidden)
        await basin.add()
        async with node.running_all():
            sandbox = await basin.until(Reason.READY)
        await is_whole(basin, sandbox)
    assert (sandbox.status.launch, sandbox.status.pool_miss) == ("Cold", "Other: cannot patch pods")

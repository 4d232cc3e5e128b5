"""Statuses that name a volume claim which is not the sandbox's: by a backup that is wrong, or on purpose."""

from typing import Any

from control_plane.operator.mortal import operator
from control_plane.operator.world import World
from control_plane.pools.basin import Basin, Node
from control_plane.restore.backups import add_claim, add_restored, message, owners, write_status
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import PODS, SANDBOXES, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox
from sandbox_operator.builders.owned import name_of
from sandbox_operator.watching.pods import controller_uid, decode

VICTIM, LEFT = "victim", "left"


async def set_status(world: World, name: str, **status: Any) -> None:
    await world.client.patch(SANDBOXES, world.namespace, name, {"status": status}, subresource="status")


async def refused(world: World, name: str, claim: str) -> None:
    """Return once the sandbox waits for the end of this claim, which is not its own."""
    said = message(await world.until(Reason.PENDING, name))
    assert f"There is a PersistentVolumeClaim {claim} that does not belong to this sandbox" in said


async def mounts(world: World) -> dict[str, set[str]]:
    """The claims that the sandboxes' pods mount, by the sandboxes' names."""
    found: dict[str, set[str]] = {}
    for pod in (await world.client.list(PODS, world.namespace))["items"]:
        found.setdefault(pod["metadata"]["labels"][SANDBOX_LABEL], set()).add(decode(pod).volume_claim)
    return found


async def test_no_pod_is_made_on_a_volume_of_another_sandbox(
    basin: Basin, second: KubeClient, master_keys: MasterKeys
) -> None:
    client, namespace, node = basin.client, basin.namespace, Node(basin.client, basin.namespace)
    async with operator(second, namespace, master_keys), node.running_all():
        victim: Sandbox = await add_restored(basin, VICTIM, status=False)
        await basin.until(Reason.READY, VICTIM)
        await add_restored(basin, "late", status=False)
        await basin.until(Reason.READY, "late")
        await basin.suspend(True, "late")
        await basin.until(Reason.SUSPENDED, "late")
    own = name_of(victim)
    # A new Sandbox, one as after a restore, and one whose keys are forgotten name the claim of a running sandbox.
    await add_restored(basin, "new", status=False)
    await set_status(basin, "new", volumeClaim=own)
    await add_restored(basin, "restored")
    await write_status(basin, "restored", volumeClaim=own)
    await set_status(basin, "late", volumeClaim=own, keyID="")
    await basin.suspend(False, "late")
    # A claim that has lost its Sandbox is labelled with the one that it was of.
    await add_claim(basin, LEFT)
    await add_restored(basin, "heir", status=False)
    await set_status(basin, "heir", volumeClaim=f"{LEFT}-left")
    # Two restored Sandboxes name one claim.
    await add_restored(basin, "first")
    await add_claim(basin, "first")
    await add_restored(basin, "second")
    await write_status(basin, "second", volumeClaim="first-left")
    left = await owners(basin, LEFT)
    async with operator(second, namespace, master_keys), node.running_all():
        for name in ("new", "restored", "late"):
            await refused(basin, name, own)
        await refused(basin, "heir", f"{LEFT}-left")
        await refused(basin, "second", "first-left")
        for name in (VICTIM, "first"):
            await basin.until(Reason.READY, name)
        assert await mounts(basin) == {VICTIM: {own}, "first": {"first-left"}}
        assert controller_uid(await client.get(VOLUME_CLAIMS, namespace, own)) == victim.metadata.uid
        assert await owners(basin, LEFT) == left
        # What the status says can be put right: a sandbox without a claim gets its own.
        await set_status(basin, "new", volumeClaim="")
        healed = await basin.until(Reason.READY, "new")
        assert (await mounts(basin))["new"] == {name_of(healed)}
        # Deleting the one that named it does not delete it.
        for name in ("restored", "late", "second", "heir"):
            await basin.delete(name)
            await basin.gone(SANDBOXES, name)
        for claim in (own, f"{LEFT}-left", "first-left"):
            found = await client.get(VOLUME_CLAIMS, namespace, claim)
            assert "deletionTimestamp" not in found["metadata"]

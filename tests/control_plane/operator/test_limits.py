"""Sandboxes that live, wait or start for too long are announced and then deleted, with all that is theirs."""

from datetime import UTC, datetime, timedelta

import pytest

from control_plane.operator.kubelet import Kubelet
from control_plane.operator.ledger import Ledger
from control_plane.operator.world import World
from control_plane.waiting import eventually
from sandbox_common import times
from sandbox_common.kube.resources import SANDBOXES, VOLUME_CLAIMS
from sandbox_common.reasons import ExpiryReason, Reason
from sandbox_crds.models import Sandbox
from sandbox_operator.builders.owned import name_of
from sandbox_operator.reporting.conditions import EXPIRING

pytestmark = pytest.mark.asyncio(loop_scope="module")

END = ["create events", "create events", "delete sandboxes", "patch sandboxes/status"]


async def announced(world: World) -> Sandbox:
    """The Sandbox once it expires."""

    async def look() -> Sandbox | None:
        sandbox = await world.sandbox()
        return sandbox if sandbox.status.condition(EXPIRING) else None

    return await eventually(look)


async def expired(world: World, sandbox: Sandbox, reason: ExpiryReason) -> None:
    """Return once the Sandbox is gone, as had been announced and is told."""
    await world.gone(SANDBOXES, world.name)
    await eventually(lambda: world.events("Expired"))
    for kind in ("ExpiringSoon", "Expired"):
        [event] = await world.events(kind)
        assert event["note"].startswith(f"{reason}: ")
        assert event["regarding"]["uid"] == sandbox.metadata.uid


async def test_a_life_ends(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    async with kubelet.running_all():
        sandbox = await world.add(className="kept", maximumLifeSeconds=5)
        await world.until(Reason.READY)
        await ledger.new()
        await expired(world, sandbox, ExpiryReason.MAXIMUM_LIFE)
        assert await ledger.new() == END
        await world.gone(VOLUME_CLAIMS, name_of(sandbox))


async def test_a_life_that_is_prolonged_goes_on(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    async with kubelet.running_all():
        await world.add(maximumLifeSeconds=20)
        await world.until(Reason.READY)
        await ledger.new()
        condition = (await announced(world)).status.condition(EXPIRING)
        await world.edit(maximumLifeSeconds=0)
        assert condition
        assert (condition.status, condition.reason) == ("True", ExpiryReason.MAXIMUM_LIFE)
        assert condition.message.startswith("It will be deleted at ")
        ready = await world.until(Reason.READY, keep=lambda it: it.status.condition(EXPIRING) is None)
    assert await ledger.new() == ["create events", "patch sandboxes/status", "patch sandboxes/status"]
    assert await world.events("Expired") == []
    assert ready.status.observed_generation == ready.metadata.generation


async def test_a_suspended_sandbox_is_not_kept_for_ever(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    of_class = f"{world.name}-forgetful"
    await world.add_class(of_class, maximumSuspendedSeconds=4, workspace={"persistent": True, "size": "1Gi"})
    async with kubelet.running_all():
        sandbox = await world.add(className=of_class)
        await world.until(Reason.READY)
        await world.suspend(True)
        await world.until(Reason.SUSPENDED)
        await ledger.new()
        await expired(world, sandbox, ExpiryReason.SUSPENDED_TOO_LONG)
        assert await ledger.new() == END
        await world.gone(VOLUME_CLAIMS, name_of(sandbox))


async def test_a_sandbox_that_is_never_ready_is_given_up(world: World, ledger: Ledger) -> None:
    of_class = f"{world.name}-hasty"
    await world.add_class(of_class, progressDeadlineSeconds=5)
    sandbox = await world.add(className=of_class)
    await world.until(Reason.PENDING)
    await ledger.new()
    await expired(world, sandbox, ExpiryReason.NEVER_READY)
    assert await ledger.new() == END


async def test_a_sandbox_that_is_ready_in_time_is_not_given_up(world: World, kubelet: Kubelet, ledger: Ledger) -> None:
    of_class = f"{world.name}-hasty"
    # The notice is a tenth of the limit: long enough for a busy machine, and near at once.
    await world.add_class(of_class, progressDeadlineSeconds=600)
    sandbox = await world.add(className=of_class)
    pod = (await world.pod(sandbox))["metadata"]["name"]
    await kubelet.bind(pod)
    await world.until(Reason.STARTING)
    long_ago = times.rfc3339(datetime.now(UTC) - timedelta(seconds=550))
    body = {"status": {"startingSince": long_ago}}
    await world.client.patch(SANDBOXES, world.namespace, world.name, body, subresource="status")
    await announced(world)
    await eventually(lambda: world.events("ExpiringSoon"))
    await ledger.new()
    await kubelet.report(pod, ready=True)
    ready = await world.until(Reason.READY)
    assert ready.status.condition(EXPIRING) is None
    assert await ledger.new() == ["patch sandboxes/status"]

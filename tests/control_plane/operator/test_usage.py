"""What owners use, recorded by real operators over a `kill -9`, against the API server's audit log."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from control_plane.audit import Audit
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from control_plane.waiting import PATIENCE, eventually
from kubectl_ohsb.main import ohsb
from local_cluster.control_plane import ControlPlane
from sandbox_common import times
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import SANDBOX_USAGES
from sandbox_common.reasons import Reason
from sandbox_crds.models import SandboxUsage
from sandbox_crds.names import usage_name
from sandbox_operator.usage.ledger import PERIOD

CPU, MEMORY, STORAGE = 250, 64, 1024
SLOWEST = PERIOD + PATIENCE
"""On a machine that stands still, the end of a life comes only with the write after next."""


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> World:
    world = World(client, namespace, "one")
    resources = {"requests": {"cpu": f"{CPU}m", "memory": f"{MEMORY}Mi"}}
    await world.add_class("default", resources=resources, workspace={"persistent": True, "size": f"{STORAGE}Mi"})
    return world


@pytest.fixture
async def first(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, tmp_path: Path
) -> AsyncIterator[OperatorProcess]:
    operator = await OperatorProcess.start(control_plane.kubeconfig, namespace, master_key_dir, tmp_path / "first")
    yield operator
    await operator.kill()


async def record(world: World, owner: str, until: datetime) -> SandboxUsage:
    """The owner's record, once it has everything until then."""

    async def look() -> SandboxUsage | None:
        found = SandboxUsage.model_validate(await world.client.get(SANDBOX_USAGES, world.namespace, usage_name(owner)))
        return found if times.parse(found.status.through) >= until.replace(microsecond=0) else None

    return await eventually(look, SLOWEST)


async def lives(world: World, name: str, owner: str) -> None:
    """Start a sandbox, use it for a second, and delete it."""
    await world.add(name, owner=owner)
    await world.until(Reason.READY, name)
    await asyncio.sleep(1)
    await world.delete(name)


async def test_a_kill_loses_and_doubles_nothing(
    world: World,
    kubelet: Kubelet,
    audit: Audit,
    first: OperatorProcess,
    control_plane: ControlPlane,
    master_key_dir: Path,
    tmp_path: Path,
) -> None:
    async with kubelet.running_all():
        await asyncio.gather(*(lives(world, f"short-{number}", "short") for number in range(3)))
        before = await record(world, "short", times.utc_now())
        await world.add("long", owner="long")
        await world.until(Reason.READY, "long")
        await first.kill()
        async with OperatorProcess.running(
            control_plane.kubeconfig, world.namespace, master_key_dir, tmp_path / "second"
        ) as second:

            async def leads() -> bool:
                return await second.metric("openhands_sandbox_operator_leader") == 1

            await eventually(leads)
            await world.add("probe", owner="probe")
            await world.until(Reason.READY, "probe")
            await world.delete("long")
            found = {
                "long": await record(world, "long", times.utc_now()),
                "short": await record(world, "short", times.EARLIEST),
            }
            where = ("--kubeconfig", str(control_plane.kubeconfig), "--namespace", world.namespace)
            shown = await asyncio.to_thread(CliRunner().invoke, ohsb, ["usage", *where, "-o", "json"])
    assert shown.exit_code == 0, shown.stderr
    rows = {row["owner"]: row for row in json.loads(shown.stdout)["rows"]}
    assert rows["probe"]["running_seconds"] > 0
    for owner, item in found.items():
        assert rows[owner]["running_seconds"] == item.status.total.running_seconds
    assert found["short"] == before
    seconds = await used(world, audit)
    for owner, starts in (("short", 3), ("long", 1)):
        total = found[owner].status.total
        assert total.cold_starts == starts
        assert abs(total.running_seconds - seconds[owner]) <= 1.5 * starts
        assert total.cpu_millicore_seconds == CPU * total.running_seconds
        assert total.memory_mebibyte_seconds == MEMORY * total.running_seconds
        assert abs(total.storage_mebibyte_seconds / STORAGE - seconds[owner]) <= 1.5 * starts
        assert total.suspended_seconds == 0
    assert seconds["long"] > 8, "the take-over takes the duration of a lease"
    writes = await audit.writes_of(world.client, world.namespace, SANDBOX_USAGES.plural)
    for owner in ("short", "long"):
        at = sorted(write.at for write in writes if write.name == usage_name(owner))
        assert all((later - earlier).total_seconds() >= PERIOD for earlier, later in pairwise(at))


async def used(world: World, audit: Audit) -> dict[str, float]:
    """Seconds from the binding of each pod to the deletion of its sandbox, by the first word of its name."""
    writes = await audit.writes(world.client, world.namespace)
    bound = {write.name: write.at for write in writes if write.what == "create pods/binding"}
    sums: dict[str, float] = {}
    for write in writes:
        if write.what == "delete sandboxes":
            [began] = [at for pod, at in bound.items() if pod.startswith(f"{write.name}-")]
            owner = write.name.partition("-")[0]
            sums[owner] = sums.get(owner, 0) + (write.at - began).total_seconds()
    return sums

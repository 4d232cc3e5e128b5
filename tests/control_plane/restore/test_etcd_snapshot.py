"""etcd is restored from a snapshot: time goes back for all objects, but not for who has seen what came later."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import product

import pytest

import backup_page
from control_plane.audit import Audit
from control_plane.cluster_scope import connected, fresh_namespace, install_custom_resources
from control_plane.conftest import NO_POD_GC
from control_plane.operator.mortal import operator
from control_plane.operator.world import World
from control_plane.pools.basin import Node
from control_plane.restore.backups import KEPT
from control_plane.waiting import eventually
from local_cluster.control_plane import DIE_WITH_PARENT, ControlPlane
from local_cluster.daemons import PATH
from local_cluster.processes import end
from sampling import WHOLE
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient
from sandbox_common.kube import informer as informers
from sandbox_common.kube.resources import PODS, SANDBOXES, VOLUME_CLAIMS
from sandbox_common.reasons import Reason
from sandbox_crds.models import Sandbox
from sandbox_operator.app import USER_AGENT
from sandbox_operator.leader.election import Timing
from sandbox_operator.leader.elector import Elector
from sandbox_operator.watching.store import Sweeper

NAMES = ("runs", "sleeps", "goes")
TIMING = Timing(duration=3, renew=0.5, deadline=2)


class Restorable:
    """A control plane of which snapshots can be taken and restored."""

    def __init__(self, running: ControlPlane) -> None:
        self._processes = running.processes()
        self._commands = {name: backup_page.command_line(process.pid) for name, process in self._processes.items()}
        self._directory = running.directory
        self._children: list[subprocess.Popen[bytes]] = []

    def save(self) -> None:
        """Take a snapshot, as the page says."""
        backup_page.save_etcd(self._commands["etcd"], self._directory)

    def rewind(self) -> None:
        """End all processes, and start others on the snapshot, at the same addresses."""
        self._restart(lambda: backup_page.rewind_etcd(self._commands["etcd"], self._directory))

    def copy(self) -> None:
        """Copy what etcd has on disk. It stands still meanwhile, so the copy is as after a loss of power."""
        etcd = self._processes["etcd"].pid
        os.kill(etcd, signal.SIGSTOP)
        try:
            shutil.copytree(self._directory / "etcd", self._directory / "snapshot")
        finally:
            os.kill(etcd, signal.SIGCONT)

    def put_back(self) -> None:
        """End all processes, and start others on the copy: resource versions go back, too."""
        self._restart(self._put_back)

    def _put_back(self) -> None:
        shutil.rmtree(self._directory / "etcd")
        (self._directory / "snapshot").rename(self._directory / "etcd")

    def _restart(self, replace_data: Callable[[], None]) -> None:
        assert not end(list(self._processes.values()))
        replace_data()
        for name, command in self._commands.items():
            with (self._directory / "logs" / f"{name}.log").open("ab") as log:
                child = subprocess.Popen([*DIE_WITH_PARENT, *command], env={"PATH": PATH}, stdout=log, stderr=log)
            self._children.append(child)

    def stop(self) -> None:
        """End the processes that `_restart` has started."""
        for child in self._children:
            child.kill()
            child.wait()


@pytest.fixture
async def restorable() -> AsyncIterator[tuple[Restorable, ControlPlane]]:
    with ControlPlane(controller_manager=True, manager_flags=[NO_POD_GC]) as running:
        restorable = Restorable(running)
        async with connected(running) as client:
            await install_custom_resources(client)
        yield restorable, running
        restorable.stop()


@pytest.mark.parametrize(("tools", "restarts"), list(product((True, False), repeat=2)) if WHOLE else [(True, True)])
async def test_sandboxes_are_again_as_in_a_snapshot_of_etcd(
    restorable: tuple[Restorable, ControlPlane],
    master_keys: MasterKeys,
    tools: bool,
    restarts: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The operator acts on what is so since the restore, and not on what it has seen later.

    `tools`: etcd's own are used, as the page says. Otherwise its files are copied, and resource versions go back, too.
    `restarts`: the operator is started anew, as the page says. Otherwise it learns by itself.
    """
    plane, running = restorable
    if not restarts:
        # It would take a quarter of an hour.
        monkeypatch.setattr(Sweeper, "INTERVAL", 5.0)
        monkeypatch.setattr(Sweeper, "_RETRY", 0.5)
        monkeypatch.setattr(informers, "_SWEEP_SECONDS", 10.0)
        monkeypatch.setattr(informers, "_LONGEST_DELAY", 0.5)
    async with (
        connected(running) as client,
        fresh_namespace(client) as namespace,
        AsyncExitStack() as stack,
    ):
        world, node = World(client, namespace, "sandbox"), Node(client, namespace)
        await world.add_class(KEPT, workspace={"persistent": True, "size": "1Gi"})
        first = await stack.enter_async_context(AsyncExitStack())
        second = await KubeClient.connect(str(running.kubeconfig), USER_AGENT)
        stack.push_async_callback(second.close)
        await first.enter_async_context(operator(second, namespace, master_keys))
        async with node.running_all():
            for name in NAMES:
                await world.add(name, className=KEPT)
            for name in NAMES:
                await world.until(Reason.READY, name)
            await world.suspend(True, "sleeps")
            await world.until(Reason.SUSPENDED, "sleeps")
            before = {name: await whole(world, name) for name in NAMES}
            await asyncio.to_thread(plane.save if tools else plane.copy)
            await world.add("new", className=KEPT)
            await world.suspend(True, "runs")
            await world.suspend(False, "sleeps")
            await world.delete("goes")
            await world.until(Reason.SUSPENDED, "runs")
            for name in ("sleeps", "new"):
                await world.until(Reason.READY, name)
            await world.gone(VOLUME_CLAIMS, before["goes"][1])
        if restarts:
            await first.aclose()
        await asyncio.to_thread(plane.rewind if tools else plane.put_back)
        await eventually(lambda: client.list(SANDBOXES, namespace))
        if restarts:
            await first.enter_async_context(operator(second, namespace, master_keys))
        async with node.running_all():
            for name in ("runs", "goes"):
                await world.until(Reason.READY, name)
            await world.until(Reason.SUSPENDED, "sleeps")
            assert {name: await whole(world, name) for name in NAMES} == before
            # It was suspended after the snapshot. A pod that its node no longer has is replaced.
            await client.delete(PODS, namespace, (await world.sandbox("runs")).status.pod_name, grace_seconds=0)
            await world.until(Reason.READY, "runs", lambda it: it.status.pod_uid not in {"", before["runs"][0]})
            # It follows what is asked for from now on.
            await world.suspend(False, "sleeps")
            await world.suspend(True, "runs")
            await world.until(Reason.READY, "sleeps")
            await world.until(Reason.SUSPENDED, "runs")
            await world.add("new", className=KEPT)
            await world.until(Reason.READY, "new")
            assert {name: (await whole(world, name))[1:] for name in NAMES} == {
                name: one[1:] for name, one in before.items()
            }
            await world.delete("goes")
            await world.gone(VOLUME_CLAIMS, before["goes"][1])


@pytest.mark.parametrize("tools", [True, False] if WHOLE else [True])
async def test_a_leader_goes_on_with_the_lease_of_the_snapshot(
    restorable: tuple[Restorable, ControlPlane], tools: bool
) -> None:
    """`tools`: as above. The Lease has an earlier resource version than the leader has seen."""
    plane, running = restorable
    audit = Audit(running.audit_log)
    async with connected(running) as client, fresh_namespace(client) as namespace, AsyncExitStack() as stack:
        second = await KubeClient.connect(str(running.kubeconfig), USER_AGENT)
        stack.push_async_callback(second.close)
        elector = Elector(second, namespace, "leader", TIMING)
        leading = asyncio.create_task(elector.run(_work))
        stack.callback(leading.cancel)

        async def renewed(times: int) -> bool:
            done = [write for write in await audit.writes_of(client, namespace, "leases") if write.code < 300]
            return elector.leads and len(done) >= times

        await eventually(lambda: renewed(1))
        await asyncio.to_thread(plane.save if tools else plane.copy)
        await eventually(lambda: renewed(3))
        await asyncio.to_thread(plane.rewind if tools else plane.put_back)
        await eventually(lambda: renewed(6))
        assert not leading.done()
        # It does not ask again and again.
        reads = (await audit.tally(client, namespace))[USER_AGENT, "get leases"]
        assert reads < 100


async def _work(_: KubeClient) -> None:
    await asyncio.get_running_loop().create_future()


async def whole(world: World, name: str) -> tuple[str, str, str, str]:
    """The sandbox's pod, its volume claim, this claim's UID, and its key."""
    sandbox: Sandbox = await world.sandbox(name)
    status = sandbox.status
    claim = await world.client.get(VOLUME_CLAIMS, world.namespace, status.volume_claim)
    if status.pod_uid:
        pod = await world.client.get(PODS, world.namespace, status.pod_name)
        assert pod["metadata"]["uid"] == status.pod_uid
    return status.pod_uid, status.volume_claim, claim["metadata"]["uid"], status.key_id

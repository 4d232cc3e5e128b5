"""The operator as a process: it ends, comes back, runs twice by mistake, and says how it is."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from control_plane.audit import Audit, kinds
from control_plane.operator.kubelet import Kubelet
from control_plane.operator.process import OperatorProcess
from control_plane.operator.world import World
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_common.reasons import Reason
from sandbox_operator.app import USER_AGENT

NOWHERE = """
apiVersion: v1
kind: Config
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
current-context: nowhere
"""

type Start = Callable[..., AbstractAsyncContextManager[OperatorProcess]]


@pytest.fixture
def world(client: KubeClient, namespace: str) -> World:
    return World(client, namespace, "one")


@pytest.fixture
def start(control_plane: ControlPlane, namespace: str, master_key_dir: Path, tmp_path: Path) -> Start:
    """Start an operator of this test's namespace; the arguments are the name of its log, and flags."""

    def start(log: str, *flags: str) -> AbstractAsyncContextManager[OperatorProcess]:
        return OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, tmp_path / log, *flags)

    return start


async def test_a_restart_writes_nothing_for_what_is_settled(
    world: World, kubelet: Kubelet, start: Start, audit: Audit
) -> None:
    await world.add_class()
    await world.add_class("kept", workspace={"persistent": True, "size": "1Gi"})
    async with start("first"), kubelet.running_all():
        await world.add(service="Headless", className="kept")
        ready = await world.until(Reason.READY)
        await world.add("asleep", suspend=True)
        await world.until(Reason.SUSPENDED, "asleep")
    before = await audit.writes(world.client, world.namespace, USER_AGENT)
    async with start("second") as second, kubelet.running_all():
        assert [await second.status(path) for path in ("/healthz", "/readyz", "/other")] == [200, 200, 404]
        # By the time that this one is ready, all that were there at the start have been looked at.
        await world.add("other")
        await world.until(Reason.READY, "other")
    after = await audit.writes(world.client, world.namespace, USER_AGENT)
    assert kinds(after[len(before) :]) == ["create pods", "create secrets", "patch sandboxes/status"]
    assert await world.sandbox() == ready
    # kopf only watches.
    assert await audit.writes(world.client, world.namespace, "kopf") == []


async def test_what_changed_meanwhile_is_made_good_at_the_start(world: World, kubelet: Kubelet, start: Start) -> None:
    await world.add_class()
    async with start("first"), kubelet.running_all():
        await world.add()
        await world.add("doomed")
        await world.until(Reason.READY)
        await world.until(Reason.READY, "doomed")
    await world.suspend(True)
    await world.delete("doomed")
    async with start("second"), kubelet.running_all():
        await world.until(Reason.SUSPENDED)
        await world.suspend(False)
        assert (await world.until(Reason.READY)).status.launch == "Resume"


async def test_two_at_a_time_do_no_harm(world: World, kubelet: Kubelet, start: Start) -> None:
    """By mistake they have each a Lease of their own."""
    await world.add_class()
    async with start("first"), start("second", "--lease-name=another"), kubelet.running_all():
        for number in range(5):
            await world.add(f"sandbox-{number}")
        for number in range(5):
            await world.until(Reason.READY, f"sandbox-{number}")
        assert len(await kubelet.pods()) == 5
        await world.suspend(True, "sandbox-0")
        await world.until(Reason.SUSPENDED, "sandbox-0")
        await world.suspend(False, "sandbox-0")
        await world.until(Reason.READY, "sandbox-0")
        assert len(await kubelet.pods()) == 5


async def test_without_a_master_key_it_says_what_to_do(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    missing = tmp_path / "missing"
    with pytest.raises(AssertionError, match="the operator ended with 1"):
        async with OperatorProcess.running(control_plane.kubeconfig, namespace, missing, log):
            pass
    assert f"{missing} is missing: mount the master key's Secret there" in await asyncio.to_thread(log.read_text)


async def test_it_waits_for_an_api_server_and_ends_when_asked(tmp_path: Path, master_key_dir: Path) -> None:
    kubeconfig, log = tmp_path / "kubeconfig", tmp_path / "log"
    kubeconfig.write_text(NOWHERE)
    operator = await OperatorProcess.start(kubeconfig, "here", master_key_dir, log)
    try:
        assert await eventually(partial(operator.status, "/readyz")) == 503
        assert await operator.status("/healthz") == 200

        async def says_so() -> bool:
            return "waiting for the Kubernetes API server" in operator.log and "list failed" in operator.log

        await eventually(says_so)
        assert await operator.stop() == 0
    finally:
        await operator.kill()
    assert "Traceback" not in operator.log

"""Operator and gateway on a control plane with a scheduler and two simulated nodes, of which one may fall silent."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from control_plane.cluster_scope import connected, fresh_namespace, install_custom_resources
from control_plane.gateway.process import serving
from control_plane.gateway.support import API_KEY, add_api_key
from control_plane.operator.process import OperatorProcess
from failures.observer import Observer
from local_cluster.control_plane import ControlPlane
from local_cluster.simulated_nodes import SimulatedNodes, node
from sandbox_common.kube import KubeClient
from sandbox_common.kube.resources import NODES

FRAIL, STEADY = "frail", "steady"
"""Names of the nodes. A sandbox of the class `default` starts on the frail one, as long as that has room."""

OWNER = "alice"
# Kubernetes' own is 50 s; all else is the node controller's usual course.
_NODE_CONTROLLER = ("--node-monitor-grace-period=5s", "--node-monitor-period=500ms")


@dataclass(frozen=True)
class Town:
    """What the tests of a module share."""

    client: KubeClient
    namespace: str
    frail: SimulatedNodes
    gateway: httpx.AsyncClient
    observer: Observer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(master_key_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    log = tmp_path_factory.mktemp("operator") / "log"
    with (
        ControlPlane(controller_manager=True, manager_flags=_NODE_CONTROLLER, scheduler=True) as control_plane,
        SimulatedNodes(control_plane, FRAIL) as frail,
        SimulatedNodes(control_plane, STEADY),
    ):
        async with (
            connected(control_plane) as client,
            fresh_namespace(client) as namespace,
        ):
            await install_custom_resources(client)
            for name in (FRAIL, STEADY):
                await client.create(NODES, "", node(name, name))
            await add_api_key(client, namespace, API_KEY, OWNER)
            async with (
                Observer.following(client, namespace) as observer,
                OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, log, "--read-nodes=true"),
                serving(control_plane, namespace, master_key_dir, "--poll-hold-seconds=0.1") as gateway,
                httpx.AsyncClient(base_url=gateway.url, headers={"X-API-Key": API_KEY}, timeout=20) as http,
            ):
                yield Town(client, namespace, frail, http, observer)

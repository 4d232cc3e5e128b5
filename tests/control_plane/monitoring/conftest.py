"""Operator and gateway as in production, with a pool, and a node that runs the pods."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from control_plane.gateway.process import Process, serving
from control_plane.operator.process import OperatorProcess
from control_plane.pools.basin import Basin
from control_plane.races.node import Node
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient

POOL, REFUSED = "agents", "refused"
"""Two pools; the API server refuses the pods of the second one."""


@dataclass
class Installation:
    """What runs in the namespace."""

    operator: OperatorProcess
    gateway: Process
    basin: Basin
    node: Node


async def run_command(_: web.Request) -> web.Response:
    """The agent server's answer to the command of `helm test`."""
    return web.json_response({"exit_code": 0, "stdout": "six times seven is 42\n", "stderr": ""})


@pytest.fixture
async def installation(
    control_plane: ControlPlane,
    client: KubeClient,
    namespace: str,
    master_keys: MasterKeys,
    master_key_dir: Path,
    tmp_path: Path,
) -> AsyncIterator[Installation]:
    basin = Basin(client, namespace, POOL)
    await basin.add_class(workspace={"discardOnSuspension": True}, runtimeClasses={"sysbox-runc": ""})
    # The namespace enforces `restricted`.
    await basin.add_class(REFUSED, pod={"allowPrivilegeEscalation": True})
    log = tmp_path / "operator.log"
    async with (
        Node(client, namespace, master_keys).running() as node,
        OperatorProcess.running(control_plane.kubeconfig, namespace, master_key_dir, log) as operator,
        serving(control_plane, namespace, master_key_dir) as gateway,
    ):
        node.routes.append(web.post("/api/bash/execute_bash_command", run_command))
        await basin.add_pool(image="agent:1", command=node.command.split(), workingDir="/", replicas=1)
        await basin.add_pool(REFUSED, className=REFUSED, replicas=1)
        yield Installation(operator, gateway, basin, node)

"""The plugin for one namespace, and what stands in for the operator."""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane.gateway.support import API_KEY, Operator, Replica, add_api_key, replica
from control_plane.kubectl_ohsb.support import Shell
from local_cluster.build import binary
from local_cluster.control_plane import ControlPlane
from local_cluster.kubectl import environment
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient

_SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def shell(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Shell:
    """A shell whose kubeconfig leads to this test's namespace."""
    config: dict[str, Any] = yaml.safe_load(control_plane.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    path = f"{_SCRIPTS}{os.pathsep}{binary('kubectl').parent}{os.pathsep}{os.environ['PATH']}"
    return Shell({**environment(kubeconfig, "127.0.0.1"), "PATH": path})


@pytest.fixture
def operator(client: KubeClient, namespace: str, master_keys: MasterKeys) -> Operator:
    """Writes what the test says."""
    return Operator(client, namespace, master_keys)


@pytest.fixture
async def gateway(
    control_plane: ControlPlane, client: KubeClient, namespace: str, master_keys: MasterKeys
) -> AsyncIterator[Replica]:
    """A gateway with the API key of alice."""
    await add_api_key(client, namespace, API_KEY, "alice")
    async with replica(control_plane.kubeconfig, namespace, master_keys) as running:
        yield running

"""One gateway replica on the real API server, and what stands in for operator and pod."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.gateway.neighbours import DOMAIN, Town, town
from control_plane.gateway.sleeper import listening
from control_plane.gateway.support import (
    ADMIN_API_KEY,
    API_KEY,
    OTHER_API_KEY,
    Agent,
    Operator,
    Replica,
    add_api_key,
    replica,
    running_agent,
)
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import MasterKeys
from sandbox_common.kube import KubeClient


@pytest.fixture
async def api_keys(client: KubeClient, namespace: str) -> None:
    """Keys of two owners, and of an administrator."""
    await add_api_key(client, namespace, API_KEY, "alice")
    await add_api_key(client, namespace, OTHER_API_KEY, "bob")
    await add_api_key(client, namespace, ADMIN_API_KEY, "root", policy='{"admin": true}')


@pytest.fixture
async def gateway(
    control_plane: ControlPlane, namespace: str, master_keys: MasterKeys, api_keys: None
) -> AsyncIterator[Replica]:
    """A replica that holds answers for 0.3 s."""
    async with replica(control_plane.kubeconfig, namespace, master_keys) as running:
        yield running


@pytest.fixture
async def patient(
    control_plane: ControlPlane, namespace: str, master_keys: MasterKeys, api_keys: None
) -> AsyncIterator[Replica]:
    """A replica that holds answers for 10 s, so that a test ends sooner only if it is woken."""
    async with replica(
        control_plane.kubeconfig, namespace, master_keys, start_hold_seconds=10, poll_hold_seconds=10
    ) as running:
        yield running


@pytest.fixture
def operator(client: KubeClient, namespace: str, master_keys: MasterKeys) -> Operator:
    """Reports on the namespace's Sandbox."""
    return Operator(client, namespace, master_keys)


@pytest.fixture
async def houses(
    control_plane: ControlPlane, namespace: str, master_key_dir: Path, operator: Operator, api_keys: None
) -> AsyncIterator[Town]:
    """Two gateways that hold nothing, and two owners."""
    settings: dict[str, Any] = {
        "master_key_dir": master_key_dir,
        "base_domain": DOMAIN,
        "start_hold_seconds": 0,
        "poll_hold_seconds": 0,
    }
    async with (
        listening(control_plane, namespace, **settings) as one,
        listening(control_plane, namespace, **settings) as other,
        town([one, other], (API_KEY, OTHER_API_KEY), operator) as inhabited,
    ):
        yield inhabited


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """An agent server on loopback."""
    async with running_agent() as running:
        yield running

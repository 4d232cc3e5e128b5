"""A namespace whose class has volumes, and the client of an operator."""

from collections.abc import AsyncIterator

import pytest

from control_plane.cluster_scope import STORAGE_CLASSES, VOLUMES
from control_plane.pools.basin import Basin
from control_plane.restore.backups import KEPT, volume_spec
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient
from sandbox_operator.app import USER_AGENT


@pytest.fixture
async def second(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The operator's client."""
    client = await KubeClient.connect(str(control_plane.kubeconfig), USER_AGENT)
    yield client
    await client.close()


@pytest.fixture
async def basin(client: KubeClient, namespace: str) -> AsyncIterator[Basin]:
    """The test's namespace. Its class `KEPT` has volumes that outlive their claims."""
    basin = Basin(client, namespace, "pool")
    volumes = [f"{namespace}-{number}" for number in range(6)]
    await client.create(STORAGE_CLASSES, "", {"metadata": {"name": namespace}, "provisioner": "example.com/none"})
    for name in volumes:
        await client.create(VOLUMES, "", {"metadata": {"name": name}, "spec": volume_spec(namespace)})
    workspace = {"persistent": True, "size": "1Gi", "storageClassName": namespace}
    await basin.add_class(KEPT, workspace=workspace)
    yield basin
    for name in volumes:
        await client.delete(VOLUMES, "", name)
    await client.delete(STORAGE_CLASSES, "", namespace)

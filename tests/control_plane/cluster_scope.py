"""The administrator's connection, and what is outside of namespaces."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import yaml

from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_common.kube import KubeClient, KubeObject, Resource
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOXES

_CRDS = Path(__file__).parents[2] / "crds"

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CUSTOM_RESOURCES = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
_SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")


@asynccontextmanager
async def connected(control_plane: ControlPlane) -> AsyncGenerator[KubeClient]:
    """A client with the administrator's rights; its user agent is `control-plane-tests`."""
    client = await KubeClient.connect(str(control_plane.kubeconfig), "control-plane-tests")
    try:
        yield client
    finally:
        await client.close()


def manifests() -> list[KubeObject]:
    """Our CustomResourceDefinitions."""
    return [yaml.safe_load(path.read_text()) for path in sorted(_CRDS.glob("*.yaml"))]


async def install_custom_resources(client: KubeClient) -> None:
    """Create our CustomResourceDefinitions; return once they are served."""
    for manifest in manifests():
        await client.create(CUSTOM_RESOURCES, "", manifest)
    for resource in (SANDBOXES, SANDBOX_CLASSES):
        await eventually(partial(client.list, resource, "default"))


@asynccontextmanager
async def fresh_namespace(client: KubeClient) -> AsyncGenerator[str]:
    """A new namespace that enforces Pod Security `restricted`, so any lesser pod is refused; deleted afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    await client.create(NAMESPACES, "", {"metadata": {"name": name, "labels": labels}})
    # Without the account that kube-controller-manager makes, all pods are refused.
    await eventually(partial(client.get, _SERVICE_ACCOUNTS, name, "default"))
    try:
        yield name
    finally:
        await client.delete(NAMESPACES, "", name)

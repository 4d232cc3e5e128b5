"""A real API server with our CRDs, and one fresh namespace for each test."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from control_plane.audit import Audit
from control_plane.waiting import eventually
from local_cluster.control_plane import ControlPlane
from sandbox_crds.keys import MasterKeys
from sandbox_crds.kube import KubeClient, Resource
from sandbox_crds.kube.resources import SANDBOX_CLASSES, SANDBOXES

CRDS = Path(__file__).parents[2] / "crds"
MASTER = "master-key-of-the-tests-0123456789abcdef"
"""Version 1 of the master key of everything that a test starts."""

_SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kube-controller-manager, which follows ownerReferences. `.kubeconfig` is the admin's."""
    with ControlPlane(controller_manager=True) as running:
        asyncio.run(_install_crds(running))
        yield running


async def _install_crds(running: ControlPlane) -> None:
    client = await KubeClient.connect(str(running.kubeconfig), "control-plane-tests")
    crds = ClusterScoped("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
    try:
        for path in sorted(CRDS.glob("*.yaml")):
            await client.create(crds, "", yaml.safe_load(path.read_text()))
        for resource in (SANDBOXES, SANDBOX_CLASSES):
            await eventually(partial(client.list, resource, "default"))
    finally:
        await client.close()


class ClusterScoped(Resource):
    """A resource outside of namespaces; the namespace is ignored."""

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return "/".join(part for part in [root, self.plural, name, subresource] if part)


NAMESPACES = ClusterScoped("", "v1", "namespaces", "Namespace")


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The administrator; its user agent is `control-plane-tests`."""
    connected = await KubeClient.connect(str(control_plane.kubeconfig), "control-plane-tests")
    yield connected
    await connected.close()


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    """A namespace of its own for this test. It enforces Pod Security `restricted`, so any lesser pod is refused."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    await client.create(NAMESPACES, "", {"metadata": {"name": name, "labels": labels}})
    # Without the account that kube-controller-manager makes, all pods are refused.
    await eventually(partial(client.get, _SERVICE_ACCOUNTS, name, "default"))
    yield name
    await client.delete(NAMESPACES, "", name)


@pytest.fixture
def audit(control_plane: ControlPlane) -> Audit:
    """What the API server has been asked to do."""
    return Audit(control_plane.audit_log)


@pytest.fixture
def master_keys() -> MasterKeys:
    """The keys of MASTER."""
    return MasterKeys.of({1: MASTER.encode()})


@pytest.fixture
def master_key_dir(tmp_path: Path) -> Path:
    """The master key as a mounted Secret looks: a directory with one file for each version."""
    directory = tmp_path / "master"
    directory.mkdir(mode=0o700)
    file = directory / "v1"
    file.write_text(MASTER)
    file.chmod(0o400)
    return directory

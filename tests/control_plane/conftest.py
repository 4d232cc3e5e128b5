"""A real API server with our CRDs, and one fresh namespace for each test.

With `--numprocesses` each worker of pytest-xdist has an API server of its own, so that what is counted in one, or is
outside of namespaces, is the test's alone.
"""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from control_plane.audit import Audit
from control_plane.cluster_scope import connected, fresh_namespace, install_custom_resources
from control_plane.crash_points import untested_kinds
from control_plane.naming import NAMING
from control_plane.pulse import Pulse
from local_cluster import build
from local_cluster.control_plane import ControlPlane
from sandbox_common.keys import NAMING_KEY, MasterKeys
from sandbox_common.kube import KubeClient

MASTER = "master-key-of-the-tests-0123456789abcdef"
"""Version 1 of the master key of everything that a test starts."""


_SHARING = frozenset({"helm", "races"})
"""Directories whose tests share what takes long to start."""

NO_POD_GC = "--controllers=*,-pod-garbage-collector-controller"
"""The tests' pods are bound to a node that does not exist, for which that controller deletes them after 40 s."""


_PULSE = Pulse()


class Together(LoadScopeScheduling):
    """Tests of one file, or of a directory that shares something, run in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        directory = file.rpartition("/")[0]
        return directory if directory.rpartition("/")[2] in _SHARING else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How xdist deals the tests out."""
    return Together(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Say what the tests of this tier are marked with."""
    config.addinivalue_line(
        "markers",
        "kubernetes(since, before): only for these versions, such as since='1.33'; others lack or have a feature",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not for the version of Kubernetes that is tested on (`make test-kubernetes`)."""
    version = build.kubernetes_version()
    left_out = [item for item in items if not _is_for(version, item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_for(version: tuple[int, int], item: pytest.Item) -> bool:
    since, before = "1.0", "9.0"
    for mark in item.iter_markers("kubernetes"):
        since, before = mark.kwargs.get("since", since), mark.kwargs.get("before", before)
    first, last = (tuple(map(int, bound.split("."))) for bound in (since, before))
    return first <= version < last


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    """What a test waits for before it begins is judged, too."""
    with _PULSE.judging():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """A test that fails while the API server stands still is run again."""
    with _PULSE.judging():
        return (yield)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd, kube-apiserver and kube-controller-manager, which follows ownerReferences. `.kubeconfig` is the admin's."""
    with ControlPlane(controller_manager=True, manager_flags=[NO_POD_GC]) as running:
        asyncio.run(_install(running))
        yield running


@pytest.fixture(scope="session", autouse=True)
def _pulse(control_plane: ControlPlane) -> Iterator[None]:
    """Whether the API server stands still is watched all the time."""
    with _PULSE.beating_apart(control_plane):
        yield


@pytest.fixture(scope="session", autouse=True)
def _each_kind_of_write_is_tested(control_plane: ControlPlane) -> Iterator[None]:
    """A process that makes a new kind of write needs a test that kills it there."""
    yield
    assert not untested_kinds(control_plane.audit_log), "no test kills the process at these writes: see crash_points.py"


async def _install(running: ControlPlane) -> None:
    async with connected(running) as client:
        await install_custom_resources(client)


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The administrator; its user agent is `control-plane-tests`."""
    async with connected(control_plane) as admin:
        yield admin


@pytest.fixture
async def namespace(client: KubeClient) -> AsyncIterator[str]:
    """A namespace of its own for this test. It enforces Pod Security `restricted`, so any lesser pod is refused."""
    async with fresh_namespace(client) as name:
        yield name


@pytest.fixture
def audit(control_plane: ControlPlane) -> Audit:
    """What the API server has been asked to do."""
    return Audit(control_plane.audit_log)


@pytest.fixture
def master_keys() -> MasterKeys:
    """The keys of MASTER."""
    return MasterKeys.of({1: MASTER.encode()}, naming=NAMING)


@pytest.fixture(scope="session")
def master_key_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The master key as a mounted Secret looks: a directory with one file for each version."""
    directory = tmp_path_factory.mktemp("master")
    (directory / "v1").write_text(MASTER)
    (directory / NAMING_KEY).write_bytes(NAMING)
    return directory

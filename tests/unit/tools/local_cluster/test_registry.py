from pathlib import Path

import pytest

from local_cluster.daemons import Daemons
from local_cluster.errors import ClusterError
from local_cluster.paths import State
from local_cluster.pki import Pki
from local_cluster.progress import Progress
from local_cluster.registry import Registry, hosts_toml
from local_cluster.registry_images import Blob, Image


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    state = State(tmp_path)
    return Registry(state, Pki(state.pki), Daemons(logs=state.logs, pids=state.pids, remedy=""))


IMAGE = Image(b"{}", (Blob.of(b"{}"),))


@pytest.mark.parametrize(
    ("repository", "tag"), [("Team/agent", "1"), ("a b", "1"), ("a", "b c"), ("", "1"), ("a/", "1")]
)
def test_what_is_no_name_is_refused(registry: Registry, repository: str, tag: str) -> None:
    with pytest.raises(ClusterError, match="is no name of an image"):
        registry.push(IMAGE, repository, tag)


def test_a_registry_that_does_not_run_says_so(registry: Registry) -> None:
    with pytest.raises(ClusterError, match="does not run"):
        registry.push(IMAGE, "public/agent")


def test_a_cluster_without_a_certificate_for_it_says_so(registry: Registry) -> None:
    with pytest.raises(ClusterError, match="was made without a registry"):
        registry.start(Progress())


def test_containerd_is_told_whose_certificates_to_trust() -> None:
    assert hosts_toml(Pki(Path("/state/pki"))) == 'server = "https://198.18.0.2:5000"\nca = "/state/pki/ca.crt"\n'

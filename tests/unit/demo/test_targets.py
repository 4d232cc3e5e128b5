"""Which cluster the demo takes, and what it says when there is none."""

import io

import pytest

from demo.targets import CurrentTarget, choose
from local_cluster.errors import ClusterError
from local_cluster.progress import Progress


def nowhere(_name: str) -> None:
    return None


def everywhere(name: str) -> str:
    return f"/usr/bin/{name}"


def test_an_unknown_cluster_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClusterError, match="nonsense") as refusal:
        choose("nonsense", egress=False)
    assert "local, kind, current" in str(refusal.value)


@pytest.mark.parametrize("name", ["local", "kind", "current"])
def test_a_named_cluster_is_taken(name: str) -> None:
    assert choose(name, egress=False).name == name


def test_without_root_and_without_kind_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", nowhere)
    with pytest.raises(ClusterError) as refusal:
        choose("auto", egress=False)
    assert "CLUSTER=current" in str(refusal.value)


def test_kind_is_taken_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", everywhere)
    assert choose("auto", egress=False).name == "kind"


def test_a_cluster_of_ones_own_needs_image_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTROLLER_IMAGE", raising=False)
    monkeypatch.setenv("AGENT_SERVER_IMAGE", "registry.example/agent-server:1")
    with pytest.raises(ClusterError, match="CONTROLLER_IMAGE") as refusal:
        CurrentTarget().build_images(Progress(io.StringIO()))
    assert "push the two images" in str(refusal.value)
    monkeypatch.setenv("CONTROLLER_IMAGE", "registry.example/controller:1")
    images = CurrentTarget().build_images(Progress(io.StringIO()))
    assert (images.controller, images.agent_server) == (
        "registry.example/controller:1",
        "registry.example/agent-server:1",
    )

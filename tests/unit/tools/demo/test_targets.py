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


class Cluster(CurrentTarget):
    """A cluster of one's own with a namespace of the demo's name, whose label tells whether the demo made it."""

    def __init__(self, namespaces: str, own: str) -> None:
        self.answers = {False: namespaces, True: own}
        self.asked: list[tuple[str, ...]] = []

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        self.asked.append(arguments)
        return self.answers[any(argument.startswith("--selector=") for argument in arguments)]

    @property
    def deleted(self) -> list[tuple[str, ...]]:
        return [arguments for arguments in self.asked if arguments[0] == "delete"]


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_arguments: object, **_options: object) -> str:
        return ""

    monkeypatch.setattr("demo.targets.run", nothing)
    monkeypatch.setattr("demo.targets.ensure", nothing)


@pytest.mark.usefixtures("no_programs")
def test_a_namespace_of_somebody_else_is_left_alone() -> None:
    cluster = Cluster("namespace/openhands", own="")
    with pytest.raises(ClusterError, match="not made by the demo"):
        cluster.up(Progress(io.StringIO()))
    said = io.StringIO()
    cluster.down(Progress(said))
    assert cluster.deleted == []
    assert "There is no namespace openhands of the demo" in said.getvalue()


@pytest.mark.usefixtures("no_programs")
@pytest.mark.parametrize("namespaces", ["", "namespace/openhands"])
def test_a_new_namespace_and_the_demos_own_are_taken(namespaces: str) -> None:
    Cluster(namespaces, own=namespaces).up(Progress(io.StringIO()))


def test_the_demos_own_namespace_is_deleted() -> None:
    cluster = Cluster("namespace/openhands", own="namespace/openhands")
    cluster.down(Progress(io.StringIO()))
    assert cluster.deleted == [("delete", "namespace/openhands", "--ignore-not-found")]


def test_every_cluster_says_where_a_person_reaches_the_gateway() -> None:
    addresses = {name: choose(name, egress=False) for name in ("local", "kind", "current")}
    assert {name: target.url for name, target in addresses.items()} == {
        "local": "http://198.18.0.2:30080",
        "kind": "http://localhost:60000",
        "current": "http://127.0.0.1:60000",
    }
    assert "port-forward service/openhands-sandbox-gateway 60000:80" in addresses["current"].forward

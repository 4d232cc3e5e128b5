"""Which cluster the demo takes, and what it says when there is none."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from typer.testing import CliRunner

from demo.cli import app
from demo.targets import KIND_NAME, CurrentTarget, Images, KindTarget, automatic, choose
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT
from local_cluster.progress import Progress


def nothing(*_arguments: object, **_options: object) -> str:
    return ""


def no_images(*_arguments: object, **_options: object) -> NoReturn:
    raise ClusterError("this machine builds no images")


def test_an_unknown_cluster_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClusterError, match="nonsense") as refusal:
        choose("nonsense", egress=False)
    assert "local, kind, current" in str(refusal.value)


@pytest.mark.parametrize("name", ["local", "kind", "current"])
def test_a_named_cluster_is_taken(name: str) -> None:
    assert choose(name, egress=False).name == name


@dataclass
class Machine:
    """A machine on which `make demo` is called. It is Linux, unless `system` says otherwise."""

    path: Path
    monkeypatch: pytest.MonkeyPatch

    def has(self, name: str, script: str) -> None:
        """There is a program of this name on the PATH."""
        program = self.path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def is_used_by(self, uid: int, system: str = "Linux") -> None:
        self.monkeypatch.setattr("os.geteuid", lambda: uid)
        self.monkeypatch.setattr("os.uname", lambda: SimpleNamespace(sysname=system))

    def has_local_cluster(self) -> None:
        (self.path / "state").mkdir()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LOCAL_CLUSTER_STATE", str(tmp_path / "state"))
    return Machine(tmp_path, monkeypatch)


ENGINE = "echo 28.2.2"
CLIENT_ONLY = "echo Cannot connect to the Docker daemon >&2; exit 1"


@pytest.mark.parametrize(("uid", "system"), [(0, "Linux"), (1000, "Linux"), (501, "Darwin")])
def test_kind_is_taken_if_a_docker_engine_answers(machine: Machine, uid: int, system: str) -> None:
    machine.is_used_by(uid, system)
    machine.has("docker", ENGINE)
    assert automatic() == ("kind", "a Docker engine answers")
    assert choose("auto", egress=False).name == "kind"


@pytest.mark.parametrize("client", [None, CLIENT_ONLY])
def test_the_local_cluster_is_taken_if_no_docker_engine_answers(machine: Machine, client: str | None) -> None:
    machine.is_used_by(0)
    if client:
        machine.has("docker", client)
    assert automatic() == ("local", "no Docker engine answers")


def test_a_local_cluster_that_exists_is_taken(machine: Machine) -> None:
    machine.is_used_by(0)
    machine.has("docker", ENGINE)
    machine.has_local_cluster()
    assert automatic() == ("local", "it is on this machine already")


@pytest.mark.parametrize(("uid", "system"), [(1000, "Linux"), (0, "Darwin")])
def test_without_a_docker_engine_and_root_on_linux_there_is_a_remedy(machine: Machine, uid: int, system: str) -> None:
    machine.is_used_by(uid, system)
    machine.has("docker", CLIENT_ONLY)
    machine.has_local_cluster()
    with pytest.raises(ClusterError) as refusal:
        automatic()
    assert "CLUSTER=current" in str(refusal.value)


def test_the_demo_says_which_cluster_it_takes(machine: Machine) -> None:
    machine.is_used_by(1000)
    machine.has("docker", ENGINE)
    machine.has("kind", "echo no nodes >&2; exit 1")
    machine.monkeypatch.setattr("demo.targets.ensure", nothing)
    machine.monkeypatch.setattr("demo.targets.build", no_images)
    said = CliRunner().invoke(app, ["run"])
    assert said.exit_code == 1
    assert "Taking CLUSTER=kind: a Docker engine answers" in said.stdout
    assert "CLUSTER=local, kind or current" in said.stdout
    assert "no nodes" in said.stderr


@pytest.fixture
def kind(machine: Machine) -> Callable[[], list[str]]:
    """What the demo asked of the programs `kind` and `kubectl`, one command a line. There is no cluster yet."""
    for name in ("kind", "kubectl"):
        machine.has(name, f'echo "{name} $*" >> {machine.path}/asked')
    machine.monkeypatch.setattr("demo.targets.ensure", nothing)
    return lambda: (machine.path / "asked").read_text().splitlines()


def test_kind_makes_a_cluster_of_the_configuration(kind: Callable[[], list[str]], machine: Machine) -> None:
    machine.monkeypatch.delenv("KIND_NODE_IMAGE", raising=False)
    KindTarget().up(Progress(io.StringIO()))
    assert kind() == ["kind get clusters", f"kind create cluster --config={ROOT}/kind-config.yaml --wait=5m"]


def test_kind_takes_the_named_node_image(kind: Callable[[], list[str]], machine: Machine) -> None:
    machine.monkeypatch.setenv("KIND_NODE_IMAGE", "example/node:1")
    KindTarget().up(Progress(io.StringIO()))
    assert kind()[1].endswith(" --image=example/node:1")


def test_a_kind_cluster_that_exists_is_used(kind: Callable[[], list[str]], machine: Machine) -> None:
    machine.has("kind", f'echo "kind $*" >> {machine.path}/asked; echo {KIND_NAME}')
    KindTarget().up(Progress(io.StringIO()))
    assert kind() == ["kind get clusters"]


def test_kind_gets_images_and_goes_again(kind: Callable[[], list[str]]) -> None:
    KindTarget().load_images(Images("controller:1", "agent-server:1"))
    KindTarget().down(Progress(io.StringIO()))
    assert kind() == [
        f"kind load docker-image --name={KIND_NAME} controller:1 agent-server:1",
        f"kind delete cluster --name={KIND_NAME}",
    ]


@pytest.mark.parametrize(("on_path", "built"), [((), ["helm", "kind", "kubernetes"]), (("kind", "kubectl"), ["helm"])])
def test_only_missing_programs_are_built(machine: Machine, on_path: Sequence[str], built: list[str]) -> None:
    asked: list[str] = []

    def ensure(names: Sequence[str], _progress: Progress) -> None:
        asked.extend(names)

    def built_program(name: str) -> Path:
        return machine.path / "built" / name

    machine.monkeypatch.setattr("demo.targets.ensure", ensure)
    machine.monkeypatch.setattr("demo.targets.binary", built_program)
    for name in on_path:
        machine.has(name, "true")
    (machine.path / "built").mkdir()
    for name in ("kind", "kubectl", "helm"):
        (machine.path / "built" / name).write_text("#!/bin/sh\n")
        (machine.path / "built" / name).chmod(0o755)
    target = KindTarget()
    target.up(Progress(io.StringIO()))
    assert asked == built
    expected = machine.path if on_path else machine.path / "built"
    assert target.kubectl_command("get")[0] == str(expected / "kubectl")
    paths = [str(machine.path / "built")] if on_path else [str(machine.path / "built")] * 2
    assert target.environment()["PATH"].split(":") == [*paths, str(machine.path)]


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

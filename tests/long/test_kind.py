"""`make demo CLUSTER=kind` in a Docker engine of its own, with a node image that is made here."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.outside import sdk_python
from demo.targets import KindTarget
from images.build import build
from images.recipes import RECIPES, ImageName
from kind_node import image
from local_cluster.build import ensure
from local_cluster.paths import ROOT
from local_cluster.progress import Progress
from long.docker_engine import DockerEngine, docker_engine

PYTHON = str(ROOT / ".venv/bin/python")


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    # A short path, for the sockets below it.
    with docker_engine(Path("/var/lib", f"openhands-sandbox-docker-{os.getpid()}")) as running:
        yield running


def give(engine: DockerEngine, name: ImageName) -> None:
    """Load the image that buildah makes, under the name that the demo looks for before it runs `docker build`."""
    built = build(name)
    recipe = RECIPES[name]
    engine.run(["docker", "load", "--quiet", f"--input={built.archive}"])
    engine.run(["docker", "tag", built.reference, recipe.reference(recipe.key(""))])


def test_the_demo_runs_on_kind(engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # All that needs the network, which the engine's namespace does not have.
    ensure(["kind", "helm", "kubernetes"], Progress())
    sdk_python(Progress())
    for name in (ImageName.CONTROLLER, ImageName.AGENT_SERVER):
        give(engine, name)
    with monkeypatch.context() as here:
        here.setenv("DOCKER_HOST", engine.environment["DOCKER_HOST"])
        here.setenv("PATH", engine.environment["PATH"])
        node = image.build(Progress())
    settings = {"CLUSTER": "kind", "KIND_NODE_IMAGE": node, "KUBECONFIG": str(tmp_path / "kubeconfig")}

    said = engine.run([PYTHON, "-m", "demo", "run"], **settings)

    assert "==> The same from outside the cluster, through http://localhost:60000" in said
    assert "==> Done in" in said
    assert "export RUNTIME_API_URL=http://localhost:60000" in engine.run([PYTHON, "-m", "demo", "env"], **settings)
    policies = ["--namespace=kube-system", "rollout", "status", "daemonset/kube-router", "--timeout=60s"]
    engine.run([*KindTarget().kubectl_command(), *policies], **settings)
    assert engine.run(["docker", "ps", "--format={{.Names}}"]).split() == ["openhands-sandbox-control-plane"]
    engine.run([PYTHON, "-m", "demo", "down"], **settings)
    assert engine.run(["docker", "ps", "--all", "--quiet"]) == ""

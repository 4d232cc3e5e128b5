"""The project's own cluster as a target of the demo."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from demo.commands import run
from demo.release import NODE_PORT
from demo.targets import Images, path_with
from images.build import build
from images.recipes import ImageName
from local_cluster.build import binary
from local_cluster.cluster import Cluster
from local_cluster.network import NODE_ADDRESS
from local_cluster.paths import State
from local_cluster.progress import Progress

VALUES = Path(__file__).with_name("local-cluster-values.yaml")


def node_port_url(port: int) -> str:
    """The URL of a NodePort of this cluster, from outside of its network namespace."""
    return f"http://{NODE_ADDRESS}:{port}"


class LocalTarget:
    """Kubernetes in a network namespace of this machine; needs root on Linux."""

    name = "local"
    chart_values: Mapping[str, Any] = yaml.safe_load(VALUES.read_text())
    url = node_port_url(NODE_PORT)
    forward = ""

    def __init__(self, egress: bool) -> None:
        self._state = State.from_environment()
        self._cluster = Cluster(self._state)
        self._egress = egress
        self._archives: list[Path] = []

    def up(self, progress: Progress) -> None:
        self._cluster.up(progress, way_out=self._egress)

    def down(self, progress: Progress) -> None:
        self._cluster.down(progress)

    def build_images(self, progress: Progress) -> Images:
        built = [build(name, progress=progress) for name in (ImageName.CONTROLLER, ImageName.AGENT_SERVER)]
        self._archives = [image.archive for image in built if image.archive]
        controller, agent_server = built
        return Images(controller.reference, agent_server.reference)

    def load_images(self, images: Images) -> None:
        for archive in self._archives:
            self._cluster.load_image(archive)

    def environment(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self._state.kubeconfig), **path_with("kubectl", "helm")}

    def kubectl_command(self, *arguments: str) -> list[str]:
        return [str(binary("kubectl")), f"--kubeconfig={self._state.kubeconfig}", *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run(self.kubectl_command(*arguments), stdin=stdin)

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        return run([str(binary("helm")), f"--kubeconfig={self._state.kubeconfig}", *arguments], stdin=stdin)

    @contextmanager
    def gateway(self, namespace: str) -> Generator[str]:
        yield self.url

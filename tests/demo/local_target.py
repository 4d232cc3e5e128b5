"""The project's own cluster as a target of the demo."""

from collections.abc import Iterator
from contextlib import contextmanager

from images.build import BuiltImage, build
from local_cluster.cluster import Cluster

from demo.commands import run
from demo.release import NODE_PORT
from demo.targets import Images
from local_cluster.build import binary
from local_cluster.images import load
from local_cluster.network import NODE_IP
from local_cluster.paths import State
from local_cluster.progress import Progress


class LocalTarget:
    """Kubernetes in a network namespace of this machine; needs root on Linux."""

    name = "local"

    def __init__(self, egress: bool) -> None:
        self._state = State.from_environment()
        self._egress = egress
        self._built: list[BuiltImage] = []

    def up(self, progress: Progress) -> None:
        Cluster(self._state, progress).up(egress=self._egress)

    def down(self, progress: Progress) -> None:
        Cluster(self._state, progress).down()

    def build_images(self, progress: Progress) -> Images:
        controller, agent_server = build("controller", progress), build("agent-server", progress)
        self._built = [controller, agent_server]
        return Images(controller.reference, agent_server.reference)

    def load_images(self, images: Images, progress: Progress) -> None:
        for image in self._built:
            load(self._state, image.reference, image.archive, progress)

    def kubectl_command(self, *arguments: str) -> list[str]:
        return [str(binary("kubectl")), f"--kubeconfig={self._state.kubeconfig}", *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run(self.kubectl_command(*arguments), stdin=stdin)

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        return run([str(binary("helm")), f"--kubeconfig={self._state.kubeconfig}", *arguments], stdin=stdin)

    @contextmanager
    def gateway(self, namespace: str) -> Iterator[str]:
        yield f"http://{NODE_IP}:{NODE_PORT}"

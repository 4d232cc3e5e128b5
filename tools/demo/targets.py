"""The clusters that the demo can run on: the project's own, kind, or the one that kubectl points to."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from demo.commands import run
from images import docker
from images.build import Engine, build
from images.recipes import ImageName
from local_cluster.build import binary, ensure
from local_cluster.errors import ClusterError
from local_cluster.paths import ROOT, State
from local_cluster.ports import free_port
from local_cluster.progress import Progress

NAMESPACE = "openhands"
"""Where the demo installs its release."""

NAMESPACE_LABELS = {"app.kubernetes.io/managed-by": "openhands-sandbox-demo"}
"""The label of a namespace that the demo made."""

KIND_NAME = "openhands-sandbox"
FORWARDED_PORT = 60000
"""The port of agent servers. They recognize `LookupSecret`s of the SDK with this address as their own."""
KIND_URL = f"http://localhost:{FORWARDED_PORT}"


@dataclass(frozen=True)
class Images:
    """References of the two images, as the cluster knows them."""

    controller: str
    agent_server: str


class Target(Protocol):
    """A cluster to run on. `chart_values` are values of the chart that this cluster needs.

    `url` is the gateway's address for people. If `forward` is not empty, it answers only while that command runs.
    """

    name: str
    chart_values: Mapping[str, Any]
    url: str
    forward: str

    def up(self, progress: Progress) -> None:
        """Start the cluster, unless it runs. Raises ClusterError."""
        ...

    def down(self, progress: Progress) -> None:
        """Remove what `up` made. Raises ClusterError."""
        ...

    def build_images(self, progress: Progress) -> Images:
        """Build what has changed. Raises ClusterError."""
        ...

    def load_images(self, images: Images) -> None:
        """Load the images into the nodes. Raises ClusterError."""
        ...

    def environment(self) -> dict[str, str]:
        """Environment variables that make the user's kubectl and helm use this cluster."""
        ...

    def kubectl_command(self, *arguments: str) -> list[str]:
        """The command line that runs kubectl on this cluster."""
        ...

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints. Raises ClusterError."""
        ...

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        """Run helm and return what it prints. Raises ClusterError."""
        ...

    def gateway(self, namespace: str) -> AbstractContextManager[str]:
        """The gateway's URL on this machine, while the context lasts."""
        ...


class KindTarget:
    """A kind cluster, made from kind-config.yaml; needs Docker. kind and kubectl are those on the PATH, else built.

    KIND_NODE_IMAGE in the environment names a node image that Docker has, for machines that cannot pull kind's own.
    """

    name = "kind"
    chart_values: Mapping[str, Any] = {}
    url = KIND_URL
    forward = ""

    def up(self, progress: Progress) -> None:
        families = {"kind": "kind", "kubectl": "kubernetes"}
        ensure(["helm", *(families[name] for name in families if shutil.which(name) is None)], progress)
        if KIND_NAME not in self._kind("get", "clusters").split():
            with progress.step("create the kind cluster"):
                image = os.environ.get("KIND_NODE_IMAGE")
                options = [f"--image={image}"] if image else []
                self._kind("create", "cluster", f"--config={ROOT / 'kind-config.yaml'}", "--wait=5m", *options)

    def down(self, progress: Progress) -> None:
        ensure([] if shutil.which("kind") else ["kind"], progress)
        with progress.step("delete the kind cluster"):
            self._kind("delete", "cluster", f"--name={KIND_NAME}")

    def build_images(self, progress: Progress) -> Images:
        controller = build(ImageName.CONTROLLER, Engine.DOCKER, progress)
        agent_server = build(ImageName.AGENT_SERVER, Engine.DOCKER, progress)
        return Images(controller.reference, agent_server.reference)

    def load_images(self, images: Images) -> None:
        self._kind("load", "docker-image", f"--name={KIND_NAME}", images.controller, images.agent_server)

    def environment(self) -> dict[str, str]:
        self.kubectl("config", "use-context", f"kind-{KIND_NAME}")
        return path_with("helm", *([] if shutil.which("kubectl") else ["kubectl"]))

    def kubectl_command(self, *arguments: str) -> list[str]:
        return [program("kubectl"), "--context", f"kind-{KIND_NAME}", *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run(self.kubectl_command(*arguments), stdin=stdin)

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        return run([str(binary("helm")), "--kube-context", f"kind-{KIND_NAME}", *arguments], stdin=stdin)

    @contextmanager
    def gateway(self, namespace: str) -> Generator[str]:
        yield self.url

    def _kind(self, *arguments: str) -> str:
        return run([program("kind"), *arguments], remedy="start a Docker engine; `docker version` must answer")


class CurrentTarget:
    """The cluster of the current kubectl context. Its nodes must be able to pull the named images."""

    name = "current"
    chart_values: Mapping[str, Any] = {}
    url = f"http://127.0.0.1:{FORWARDED_PORT}"
    forward = f"kubectl --namespace {NAMESPACE} port-forward service/openhands-sandbox-gateway {FORWARDED_PORT}:80"

    def up(self, progress: Progress) -> None:
        context = run(["kubectl", "config", "current-context"], remedy="set a context: kubectl config use-context NAME")
        run(["kubectl", "version"], remedy="check that the cluster of this context can be reached")
        progress.say(f"  Using the current kubectl context: {context.strip()}")
        if self._namespaces() and not self._namespaces(own=True):
            raise ClusterError(
                f"the namespace {NAMESPACE} of this cluster was not made by the demo, which would change it",
                remedy="install the chart there yourself, or point kubectl to another cluster",
            )
        ensure(["helm"], progress)

    def down(self, progress: Progress) -> None:
        names = self._namespaces(own=True)
        if not names:
            progress.say(f"  There is no namespace {NAMESPACE} of the demo in this cluster.")
            return
        with progress.step(f"delete the namespace {NAMESPACE}"):
            self.kubectl("delete", *names, "--ignore-not-found")

    def _namespaces(self, *, own: bool = False) -> list[str]:
        """The demo's namespace if it exists; with `own`, only if the demo made it."""
        wanted = [f"--field-selector=metadata.name={NAMESPACE}"]
        if own:
            wanted.append("--selector=" + ",".join(f"{key}={value}" for key, value in NAMESPACE_LABELS.items()))
        return self.kubectl("get", "namespaces", *wanted, "--output=name").split()

    def build_images(self, progress: Progress) -> Images:
        names = ("CONTROLLER_IMAGE", "AGENT_SERVER_IMAGE")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ClusterError(
                f"{' and '.join(missing)} not set: this cluster cannot be given local images",
                remedy="push the two images to a registry it can reach and name them: "
                "make demo CLUSTER=current CONTROLLER_IMAGE=… AGENT_SERVER_IMAGE=…",
            )
        return Images(*(os.environ[name] for name in names))

    def load_images(self, images: Images) -> None:
        """Do nothing: the nodes pull the images."""

    def environment(self) -> dict[str, str]:
        return path_with("helm")

    def kubectl_command(self, *arguments: str) -> list[str]:
        return ["kubectl", *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run(self.kubectl_command(*arguments), stdin=stdin)

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        return run([str(binary("helm")), *arguments], stdin=stdin)

    @contextmanager
    def gateway(self, namespace: str) -> Generator[str]:
        with port_forward(["kubectl"], namespace) as url:
            yield url


@contextmanager
def port_forward(kubectl: list[str], namespace: str) -> Generator[str]:
    """`kubectl port-forward` to the gateway on a free port of the loopback address."""
    port = free_port()
    command = [*kubectl, "--namespace", namespace, "port-forward", "service/openhands-sandbox-gateway", f"{port}:80"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(100):
                if process.poll() is not None:
                    said = process.stderr.read() if process.stderr else ""
                    raise ClusterError(f"kubectl port-forward ended: {said.strip()}")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def path_with(*names: str) -> dict[str, str]:
    """PATH, with the directories of these binaries at the front."""
    return {"PATH": ":".join([*(str(binary(name).parent) for name in names), os.environ["PATH"]])}


def program(name: str) -> str:
    """The program on the PATH, else the one that the project builds. Raises ClusterError when it is not built."""
    return shutil.which(name) or str(binary(name))


def automatic() -> tuple[str, str]:
    """The cluster that `auto` takes here, and why. Raises ClusterError when there is none."""
    can_be_local = os.name == "posix" and os.geteuid() == 0 and os.uname().sysname == "Linux"
    if can_be_local and State.from_environment().root.exists():
        return "local", "it is on this machine already"
    if docker.answers():
        return "kind", "a Docker engine answers"
    if can_be_local:
        return "local", "no Docker engine answers"
    raise ClusterError(
        "no cluster can be made here",
        remedy="start a Docker engine, or run it as root on Linux, "
        "or use an existing cluster: make demo CLUSTER=current",
    )


def choose(name: str, *, egress: bool) -> Target:
    """The target of this name; `auto` means that of `automatic`. Raises ClusterError when there is none."""
    from demo.local_target import LocalTarget

    if name == "auto":
        name, _ = automatic()
    match name:
        case "local":
            return LocalTarget(egress)
        case "kind":
            return KindTarget()
        case "current":
            return CurrentTarget()
        case _:
            raise ClusterError(f"CLUSTER={name} is not known", remedy="one of: local, kind, current")

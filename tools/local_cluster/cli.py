"""The command line: `tools/local-cluster COMMAND`."""

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from local_cluster import build as builds
from local_cluster import dns, remains
from local_cluster import registry as registries
from local_cluster.cluster import Cluster
from local_cluster.errors import ClusterError
from local_cluster.kubectl import environment
from local_cluster.network import NODE_ADDRESS
from local_cluster.paths import State
from local_cluster.progress import Progress, elapsed
from local_cluster.registry_images import Image

app = typer.Typer(
    name="local-cluster",
    help="A real single-node Kubernetes on this machine, without Docker. It runs in a network namespace of its own"
    f" and is reached at {NODE_ADDRESS}. State: $LOCAL_CLUSTER_STATE (/var/lib/openhands-sandbox-cluster).",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# All arguments after the command's name go to the program as they are, `--help` and a later `--` too.
PASS_THROUGH: dict[str, Any] = {
    "allow_extra_args": True,
    "allow_interspersed_args": False,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@contextmanager
def _explained() -> Generator[None]:
    """Print an error for people, and end with code 1."""
    try:
        yield
    except ClusterError as error:
        print(f"local-cluster: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _cluster() -> Cluster:
    return Cluster(State.from_environment())


def _running() -> Cluster:
    cluster = _cluster()
    if not cluster.state.kubeconfig.exists():
        raise ClusterError("there is no cluster", remedy="tools/local-cluster up")
    return cluster


@app.command()
def up(
    egress: Annotated[
        bool, typer.Option("--egress", help="Let pods reach what this machine can reach (a remote language model).")
    ] = False,
) -> None:
    """Start the cluster. If it runs, only the parts that have ended are started again."""
    with _explained():
        started = time.monotonic()
        cluster, progress = _cluster(), Progress()
        if not cluster.up(progress, way_out=egress):
            progress.say("The cluster is up already.")
            return
        progress.say(f"The cluster is up after {elapsed(time.monotonic() - started).strip()}.")
        progress.say(f"  kubectl: tools/local-cluster kubectl get pods -A   (KUBECONFIG={cluster.state.kubeconfig})")
        progress.say(f"  NodePorts: http://{NODE_ADDRESS}:PORT   logs: {cluster.state.logs}")


@app.command()
def down() -> None:
    """Stop the cluster and remove everything of it. Only the cache of built binaries stays."""
    with _explained():
        progress = Progress()
        progress.say("The cluster is down." if _cluster().down(progress) else "There is no cluster.")


@app.command()
def status() -> None:
    """Show the state of each part. Exit code 0: all parts work; 3: some do not, or there is no cluster."""
    with _explained():
        cluster = _cluster()
        checks = cluster.checks()
        if not any(check.ok for check in checks):
            print("There is no cluster.")
            for line in remains.leftovers(cluster.state):
                print(f"  left over from an earlier one: {line}")
            raise typer.Exit(3)
        for check in checks:
            print(f"  {'ok' if check.ok else 'FAIL':<5} {check.name:<26} {'' if check.ok else check.detail}".rstrip())
        if not all(check.ok for check in checks):
            print("Repair it: tools/local-cluster up")
            raise typer.Exit(3)


@app.command()
def build(
    families: Annotated[
        list[str] | None,
        typer.Argument(help=f"Any of: {', '.join(builds.FAMILIES)}. All that a cluster needs if none."),
    ] = None,
) -> None:
    """Build the binaries from their Go modules into the cache, without starting anything."""
    with _explained():
        if unknown := set(families or []) - set(builds.FAMILIES):
            raise ClusterError(f"unknown: {', '.join(sorted(unknown))}", remedy=f"one of {', '.join(builds.FAMILIES)}")
        names = families or builds.CLUSTER_FAMILIES
        builds.ensure(names, Progress())
        for name in names:
            print(builds.directory(name))


@app.command()
def load_image(
    archives: Annotated[list[Path], typer.Argument(metavar="ARCHIVE...", help="docker-archive files")],
) -> None:
    """Import images into the node. Pods use them with imagePullPolicy Never or IfNotPresent."""
    with _explained():
        cluster, progress = _running(), Progress()
        for archive in archives:
            with progress.step(f"load {archive}"):
                names = cluster.load_image(archive)
            print(*(names or ["nothing to do: the node has these images"]), sep="\n")


@app.command()
def registry() -> None:
    """Start a registry from which the node pulls, and print how to log in to it."""
    with _explained():
        registry = _running().registry
        registry.start(Progress())
        print(f"Images: {registries.AUTHORITY}/REPOSITORY:TAG; below {registries.PUBLIC} without credentials.")
        print(f"User: {registries.USER}   password: in {registry.settings}   certificate: {registry.trusted}")


@app.command()
def push_image(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A docker-archive file with one image.")],
    repository: Annotated[str, typer.Argument(help=f"Where to push it, such as {registries.PUBLIC}agent.")],
    tag: Annotated[str, typer.Argument(help="Its tag.")] = "latest",
) -> None:
    """Push an image to the registry, and print its reference by digest."""
    with _explained():
        print(_running().registry.push(Image.of_archive(archive), repository, tag))


@app.command()
def wildcard_dns(
    domain: Annotated[str, typer.Argument(help="A domain; it and every name below it get the address.")],
    address: Annotated[str, typer.Argument(help="An IPv4 address, such as the ClusterIP of the gateway's Service.")],
) -> None:
    """Resolve a whole domain to one address in cluster DNS. Replaces an earlier domain."""
    with _explained():
        _running().set_dns(dns.Wildcard(domain, address))


@app.command()
def kubeconfig() -> None:
    """Print the path of the administrator's kubeconfig."""
    with _explained():
        print(_running().state.kubeconfig)


@app.command(context_settings=PASS_THROUGH)
def kubectl(context: typer.Context) -> None:
    """Run kubectl against the cluster: local-cluster kubectl get pods -A"""
    _replace("kubectl", context.args)


@app.command(context_settings=PASS_THROUGH)
def helm(context: typer.Context) -> None:
    """Run helm against the cluster: local-cluster helm list -A"""
    _replace("helm", context.args)


@app.command(name="exec", context_settings={**PASS_THROUGH, "help_option_names": ["--help"]})
def execute(context: typer.Context) -> None:
    """Run a command in the node's network: local-cluster exec -- curl -k https://10.96.0.1/version

    Pods and Services can be reached by their addresses there, but not from this machine.
    """
    with _explained():
        cluster = _running()
        if not context.args:
            raise ClusterError("no command given", remedy="tools/local-cluster exec -- COMMAND [ARGUMENT...]")
        command = [*cluster.namespace.enter, *context.args]
        os.execvpe(command[0], command, environment(cluster.state.kubeconfig, NODE_ADDRESS))  # noqa: S606


def _replace(program: str, arguments: list[str]) -> None:
    with _explained():
        cluster, path = _running(), builds.binary(program)
        os.execve(path, [program, *arguments], environment(cluster.state.kubeconfig, NODE_ADDRESS))  # noqa: S606

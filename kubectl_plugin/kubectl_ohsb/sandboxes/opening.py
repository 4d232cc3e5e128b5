"""The command `kubectl ohsb open`: a port of this machine that leads to a sandbox, by `kubectl port-forward`."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from types import FrameType
from urllib.parse import urlencode

import click

from kubectl_ohsb import options
from kubectl_ohsb.connection import Target
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.sandboxes import arguments
from kubectl_ohsb.sandboxes.keys import keys_of
from kubectl_ohsb.sandboxes.logs import pod_of
from kubectl_ohsb.sandboxes.store import Store, run, state
from sandbox_common import service_ports, times
from sandbox_common.command import present_port
from sandbox_common.environment import SESSION_KEY
from sandbox_crds.models import Sandbox, SandboxClassSpec
from sandbox_crds.names import CONTAINER, SERVICES

_HERE = "127.0.0.1"
_CONNECTED_SECONDS = 30.0
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Way:
    """Where `service` of the sandbox `name` listens."""

    name: str
    service: str
    namespace: str
    pod: str
    port: int


@click.command("open")
@arguments.name
@click.option(
    "--service",
    type=click.Choice([CONTAINER, *SERVICES]),
    default=CONTAINER,
    show_default=True,
    help="What to reach in the sandbox.",
)
@click.option(
    "--local-port", type=click.IntRange(1, 65535), metavar="PORT", help="Port of this machine. Default: any free one."
)
@click.option("--show-key", is_flag=True, help="Print the session key, too. Whoever has it can use the sandbox.")
@options.target
def command(name: str, service: str, local_port: int | None, show_key: bool, target: Target) -> None:
    """Forward a port of this machine to a sandbox, and print its URL. Ctrl-C ends it.

    It needs kubectl. The gateway does not see these requests, so they neither wake a sandbox nor keep it awake.

    \b
    Examples:
      # The agent server, and the key that its API needs
      kubectl ohsb open --show-key sb-6uxlxqp7zjr6zdcfkkwvh3ux
      # What the agent serves at the first of its ports for web servers
      kubectl ohsb open --service work-1 --local-port 8080 sb-6uxlxqp7zjr6zdcfkkwvh3ux
    """

    async def look(store: Store) -> tuple[Way, str]:
        sandbox = await store.get(name)
        way = way_to(sandbox, await store.class_of(sandbox), service, store.namespace)
        return way, await _session_key(store, way.pod) if show_key else ""

    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise Refusal("there is no kubectl in the PATH: install it")
    way, key = run(target, look)
    _forward(forwarding(kubectl, target, way, local_port or _free_port()), way, key)


def way_to(sandbox: Sandbox, class_: SandboxClassSpec | None, service: str, namespace: str) -> Way:
    """Raises Refusal if the sandbox is not ready, or does not have this service."""
    name = sandbox.metadata.name
    seen = state(sandbox, class_, times.utc_now())
    if not sandbox.status.pod_name or not seen.ready:
        how = f"kubectl ohsb {'resume' if sandbox.spec.suspend else 'explain'} {name}"
        raise Refusal(f"the sandbox {name} is not ready ({seen.status}, {seen.reason}): {how}")
    ports = {CONTAINER: present_port(sandbox), **service_ports.present(sandbox, class_ or SandboxClassSpec())}
    if service not in ports:
        raise Refusal(
            f"the sandbox {name} has no service {service}; it has: {', '.join(ports)}. Services are in servicePorts of "
            f"the Sandbox and of SandboxClass {sandbox.spec.class_name}"
        )
    return Way(name, service, namespace, pod_of(sandbox), ports[service])


def forwarding(kubectl: str, target: Target, way: Way, local_port: int) -> tuple[list[str], int]:
    """The command, and the port that it listens at."""
    named = {"context": target.context, "kubeconfig": target.kubeconfig, "namespace": way.namespace}
    chosen = [f"--{option}={value}" for option, value in named.items() if value is not None]
    ports = f"{local_port}:{way.port}"
    return [kubectl, "port-forward", *chosen, f"--address={_HERE}", f"pod/{way.pod}", ports], local_port


def url_of(way: Way, local_port: int, key: str) -> str:
    """VSCode takes the key as a part of its URL, as OpenHands' clients give it."""
    query = f"?{urlencode({'tkn': key, 'folder': '/workspace'})}" if key and way.service == "vscode" else ""
    return f"http://{_HERE}:{local_port}/{query}"


def _forward(forwarding: tuple[list[str], int], way: Way, key: str) -> None:
    """Until a signal ends it. Raises Refusal if it ends by itself."""
    command, local_port = forwarding
    signal.signal(signal.SIGTERM, _end)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            if _listens(process, local_port):
                click.echo(f"Forwarding to {way.service} of {way.name}, until Ctrl-C", err=True)
                click.echo(url_of(way, local_port, key))
                if key and way.service != "vscode":
                    click.echo(f"X-Session-API-Key: {key}")
                process.wait()
        except KeyboardInterrupt:
            return
        finally:
            process.terminate()
    raise Refusal(f"kubectl port-forward has ended: see kubectl ohsb explain {way.name}, and open it again")


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _listens(process: subprocess.Popen[bytes], local_port: int) -> bool:
    """Once kubectl listens, or has ended."""
    until = time.monotonic() + _CONNECTED_SECONDS
    while process.poll() is None:
        with closing(socket.socket()) as trial:
            if trial.connect_ex((_HERE, local_port)) == 0:
                return True
        if time.monotonic() > until:
            raise Refusal(f"kubectl port-forward does not listen after {_CONNECTED_SECONDS:.0f} s: try again")
        time.sleep(_LOOK_SECONDS)
    return False


def _free_port() -> int:
    with closing(socket.socket()) as trial:
        trial.bind((_HERE, 0))
        return trial.getsockname()[1]


async def _session_key(store: Store, pod: str) -> str:
    key = (await keys_of(store, pod)).get(SESSION_KEY)
    if not key:
        raise Refusal(f"there is no Secret {pod} with the sandbox's keys: see whether the operator runs")
    return key

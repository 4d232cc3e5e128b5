"""The command `kubectl ohsb open`: a port of this machine that leads to a sandbox, by `kubectl port-forward`."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
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
_LISTENS = re.compile(r"Forwarding from 127\.0\.0\.1:([0-9]+) ")
"""What kubectl prints once it listens (kubectl 1.36, `portforward.go` of client-go)."""


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
    _forward(forwarding(kubectl, target, way, local_port), way, key)


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


def forwarding(kubectl: str, target: Target, way: Way, local_port: int | None) -> list[str]:
    """kubectl's command; it chooses the local port itself if that is None."""
    named = {"context": target.context, "kubeconfig": target.kubeconfig, "namespace": way.namespace}
    chosen = [f"--{option}={value}" for option, value in named.items() if value is not None]
    ports = f"{local_port or ''}:{way.port}"
    return [kubectl, "port-forward", *chosen, f"--address={_HERE}", f"pod/{way.pod}", ports]


def url_of(way: Way, local_port: int, key: str) -> str:
    """VSCode takes the key as a part of its URL, as OpenHands' clients give it."""
    query = f"?{urlencode({'tkn': key, 'folder': '/workspace'})}" if key and way.service == "vscode" else ""
    return f"http://{_HERE}:{local_port}/{query}"


def _forward(command: list[str], way: Way, key: str) -> None:
    """Until a signal ends it. Raises Refusal if it ends by itself."""
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            try:
                _tell(process.stdout or (), way, key)
            except KeyboardInterrupt:
                return
            finally:
                process.terminate()
    finally:
        signal.signal(signal.SIGTERM, before)
    raise Refusal(f"kubectl port-forward has ended: see kubectl ohsb explain {way.name}, and open it again")


def _tell(lines: Iterable[str], way: Way, key: str) -> None:
    """Print the URL once kubectl listens, and not before: the port may be another program's. Reads to the end."""
    told = False
    for line in lines:
        listens = None if told else _LISTENS.match(line)
        if listens:
            told = True
            click.echo(f"Forwarding to {way.service} of {way.name}, until Ctrl-C", err=True)
            click.echo(url_of(way, int(listens[1]), key))
            if key and way.service != "vscode":
                click.echo(f"X-Session-API-Key: {key}")


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


async def _session_key(store: Store, pod: str) -> str:
    key = (await keys_of(store, pod)).get(SESSION_KEY)
    if not key:
        raise Refusal(f"there is no Secret {pod} with the sandbox's keys: see whether the operator runs")
    return key

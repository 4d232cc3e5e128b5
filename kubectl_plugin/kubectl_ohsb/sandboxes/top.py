"""The command `kubectl ohsb top`: what sandboxes use, beside what they request and may use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import click

from kubectl_ohsb import options, printing
from kubectl_ohsb.connection import Target
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.sandboxes import arguments
from kubectl_ohsb.sandboxes.store import Store, run
from sandbox_common.kube import ApiError, KubeObject, Resource
from sandbox_common.kube.resources import PODS, SANDBOXES
from sandbox_common.quantity import amount
from sandbox_crds.api import SANDBOX_LABEL
from sandbox_crds.models import Sandbox

POD_METRICS = Resource("metrics.k8s.io", "v1beta1", "pods", "PodMetrics")
_NOT_SERVED = (
    "this cluster serves no metrics (metrics.k8s.io): install metrics-server, "
    "https://github.com/kubernetes-sigs/metrics-server, and try again after a minute"
)
_HEADINGS = ("NAME", "OWNER", "CPU", "CPU REQUEST", "CPU LIMIT", "MEMORY", "MEMORY REQUEST", "MEMORY LIMIT")
_MEBI = 1024**2


@dataclass(frozen=True, slots=True)
class Amounts:
    """CPU in millicores and memory in bytes; None: no such bound, or unknown."""

    cpu: int | None = None
    memory: int | None = None

    @classmethod
    def of(cls, quantities: Iterable[Mapping[str, str]]) -> "Amounts":
        """The sums over containers. A value that one of them lacks is None."""
        found = list(quantities)
        return cls(_sum(found, "cpu", 1000), _sum(found, "memory", 1))


@dataclass(frozen=True, slots=True)
class Use:
    """Of one sandbox's pod."""

    name: str
    owner: str
    used: Amounts
    requests: Amounts
    limits: Amounts

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        parts = (self.used, self.requests, self.limits)
        cpu = ("-" if part.cpu is None else f"{part.cpu}m" for part in parts)
        memory = ("-" if part.memory is None else f"{part.memory // _MEBI}Mi" for part in parts)
        return (self.name, printing.cut(self.owner, 40) or "-", *cpu, *memory)

    def document(self) -> dict[str, Any]:
        """For programs."""
        parts = {"used": self.used, "requests": self.requests, "limits": self.limits}
        amounts = {key: {"cpuMillicores": part.cpu, "memoryBytes": part.memory} for key, part in parts.items()}
        return {"name": self.name, "owner": self.owner, **amounts}


@click.command("top")
@click.option("--owner", "owners", multiple=True, shell_complete=arguments.complete_owner, help="Only this owner.")
@click.option("--sort", type=click.Choice(["cpu", "memory", "name"]), default="cpu", show_default=True, help="Order.")
@options.output
@options.target
def command(owners: tuple[str, ...], sort: str, output: str, target: Target) -> None:
    """Show CPU and memory of running sandboxes, beside requests and limits. It needs metrics-server.

    \b
    Examples:
      # Who uses most memory?
      kubectl ohsb top --sort memory
    """

    async def read(store: Store) -> list[Use]:
        selector = {"labelSelector": SANDBOX_LABEL}
        try:
            pages = store.client.pages(POD_METRICS, store.namespace, **selector)
            metrics = [item async for page in pages for item in page["items"]]
        except ApiError as error:
            if error.code not in {404, 503}:
                raise
            raise Refusal(_NOT_SERVED) from None
        pods = [item async for page in store.client.pages(PODS, store.namespace, **selector) for item in page["items"]]
        known = {found.metadata.name: found.spec.owner async for found in store.each(SANDBOXES, Sandbox)}
        return uses(metrics, pods, known)

    found = [use for use in run(target, read) if not owners or use.owner in owners]
    rows = sorted(found, key=lambda use: (-(_value(use, sort) or 0), use.name))
    if output != "table":
        printing.document({"items": [use.document() for use in rows]}, output)
    elif rows:
        click.echo(printing.columns([_HEADINGS, *(use.cells() for use in rows)]))
    else:
        click.echo("No sandbox has metrics. A pod has some about a minute after its start.", err=True)


def uses(metrics: Iterable[KubeObject], pods: Iterable[KubeObject], owners: Mapping[str, str]) -> list[Use]:
    """What each sandbox uses whose pod has metrics. `owners` are those of the sandboxes that exist."""
    by_pod = {item["metadata"]["name"]: item for item in metrics}
    found: list[Use] = []
    for pod in pods:
        name = pod["metadata"]["labels"][SANDBOX_LABEL]
        measured = by_pod.get(pod["metadata"]["name"])
        if name not in owners or measured is None:
            continue
        resources: list[Mapping[str, Any]] = [part.get("resources") or {} for part in pod["spec"]["containers"]]
        found.append(
            Use(
                name,
                owners[name],
                Amounts.of(part.get("usage") or {} for part in measured.get("containers") or ()),
                Amounts.of(part.get("requests") or {} for part in resources),
                Amounts.of(part.get("limits") or {} for part in resources),
            )
        )
    return found


def _sum(quantities: Iterable[Mapping[str, str]], resource: str, factor: int) -> int | None:
    values = [amount(str(found.get(resource, ""))) for found in quantities]
    known = [value for value in values if value is not None]
    return int(sum(known, Decimal(0)) * factor) if known and len(known) == len(values) else None


def _value(use: Use, sort: str) -> int | None:
    return {"cpu": use.used.cpu, "memory": use.used.memory}.get(sort)

"""The command `kubectl ohsb explain`: what the gateway answers to `/explain`."""

from collections.abc import Iterator

import click

from kubectl_ohsb import options, printing
from kubectl_ohsb.connection import Target
from kubectl_ohsb.printing import visible
from kubectl_ohsb.sandboxes import arguments
from kubectl_ohsb.sandboxes.store import Store, run
from sandbox_common import service_ports
from sandbox_common.kube import ApiError
from sandbox_common.sandboxes.events import events_about
from sandbox_common.sandboxes.explain import Evidence, Explanation, Surroundings, explain
from sandbox_common.sandboxes.workspaces import would_lose_workspace
from sandbox_crds.models import Sandbox, SandboxClassSpec

_NO_EVENTS = "The Events about it could not be read: ask for the right to list events.events.k8s.io."


@click.command("explain")
@arguments.name
@options.output
@options.target
def command(name: str, output: str, target: Target) -> None:
    """Say why a sandbox is as it is: the cause, the remedy, and the evidence.

    \b
    Examples:
      # Why does it not start?
      kubectl ohsb explain sb-6uxlxqp7zjr6zdcfkkwvh3ux
      # Only what to do
      kubectl ohsb explain sb-6uxlxqp7zjr6zdcfkkwvh3ux -o json | jq -r .remedy
    """

    async def read(store: Store) -> tuple[Sandbox, Explanation]:
        sandbox = await store.get(name)
        return sandbox, await explained(store, sandbox)

    sandbox, explanation = run(target, read)
    if output == "table":
        click.echo(page(sandbox, explanation))
    else:
        printing.document(explanation.model_dump(), output)


async def explained(store: Store, sandbox: Sandbox) -> Explanation:
    """Why this sandbox is as it is now."""
    problem = ""
    try:
        events = await events_about(store.client, store.namespace, sandbox)
    except ApiError as error:
        if error.code != 403:
            raise
        events, problem = [], _NO_EVENTS
    class_, seen = await store.class_of(sandbox), await store.view(sandbox)
    ports = service_ports.present(sandbox, class_ or SandboxClassSpec())
    around = Surroundings(events, problem, None, ports, would_lose_workspace=would_lose_workspace(sandbox, class_))
    return explain(sandbox, seen, around)


def page(sandbox: Sandbox, explanation: Explanation) -> str:
    """For people."""
    spec = sandbox.spec
    rows = [
        ("Sandbox:", explanation.runtime_id),
        ("Owner:", spec.owner or "(none)"),
        ("Session:", spec.session_id or "(none)"),
        ("Image:", spec.image),
        ("Class:", spec.class_name),
        ("State:", f"{explanation.status} ({explanation.reason})"),
    ]
    parts = [printing.columns(rows), *_paragraph("Cause", explanation.cause), *_paragraph("Remedy", explanation.remedy)]
    evidence = [line for entry in explanation.evidence for line in _lines(entry)]
    return "\n\n".join([*parts, "\n".join(["Evidence:", *evidence])])


def _paragraph(title: str, text: str) -> Iterator[str]:
    if text:
        yield "\n".join([f"{title}:", *(f"  {visible(line)}" for line in text.split("\n"))])


def _lines(entry: Evidence) -> Iterator[str]:
    first, *more = entry.text.expandtabs().split("\n")
    yield f"  {visible(entry.time) or '-':<20}  {entry.source:<9}  {visible(first)}"
    yield from (f"  {'':<20}  {'':<9}  {visible(line)}" for line in more)

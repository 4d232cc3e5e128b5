"""The commands of `kubectl ohsb images`. Data goes to standard output, messages for people to standard error."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from kubectl_ohsb import lists, options, printing
from kubectl_ohsb.connection import Target, connect, for_completion
from kubectl_ohsb.lists import Lists
from kubectl_ohsb.printing import columns
from sandbox_crds.models import SandboxImages

_RESOURCE = "sandboximages"
_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
_COLUMNS = ("NAME", "IMAGES", "NODES", "READY", "PULLING", "FAILED", "SIZE", "REASON")


async def _connected[T](target: Target, do: Callable[[Lists], Awaitable[T]]) -> T:
    async with connect(target, _RESOURCE) as (client, namespace):
        return await do(Lists(client, namespace))


def _run[T](target: Target, do: Callable[[Lists], Awaitable[T]]) -> T:
    return asyncio.run(_connected(target, do))


def _names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of lists. Completion says nothing of what goes wrong."""
    target = options.target_of(dict(context.params))
    found = for_completion(lambda: _connected(target, Lists.all))
    return [
        CompletionItem(item.metadata.name, help=f"{len(item.spec.images)} images")
        for item in found
        if item.metadata.name.startswith(incomplete)
    ]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def images(context: click.Context) -> None:
    """Images that are kept on nodes before sandboxes need them. Without a command: list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@images.command()
@click.option(
    "-f", "--filename", type=click.File("rb"), required=True, help="File with one image in each line; - is stdin."
)
@click.option(
    "--name",
    type=options.LIST_NAME,
    default="images",
    show_default=True,
    shell_complete=_names,
    help="Name of the list.",
)
@click.option("--parallelism", type=click.IntRange(1, 32), help="Pulls at the same time on each node. Default: 2.")
@click.option("--max-disk", metavar="SIZE", help="Maximum size of the images on each node, such as 200Gi.")
@click.option("--node-selector", "labels", metavar="KEY=VALUE", multiple=True, help="Label of the nodes; repeatable.")
@click.option("--pull-secret", "secrets", metavar="NAME", multiple=True, help="Image pull Secret; repeatable.")
@options.target
def add(
    target: Target,
    filename: Any,
    name: str,
    parallelism: int | None,
    max_disk: str | None,
    labels: tuple[str, ...],
    secrets: tuple[str, ...],
) -> None:
    """Add images to the end of a list. It is created if it does not exist."""
    found = lists.read(lists.decoded(filename.read()))
    spec: dict[str, Any] = {
        "parallelism": parallelism,
        "maxDisk": max_disk,
        "nodeSelector": dict(_label(text) for text in labels) or None,
        "imagePullSecrets": list(secrets) or None,
    }
    given = {key: value for key, value in spec.items() if value is not None}
    added = _run(target, lambda store: store.add(name, found, given))
    duplicates = f" {added.known} were in it, or given, already." if added.known else ""
    click.echo(f"Added {added.new} images to the list {added.name}.{duplicates}")
    click.echo(f"Progress: kubectl ohsb images show {added.name} --wait", err=True)


@images.command("list")
@options.output
@options.target
def list_(target: Target, output: str) -> None:
    """List the lists, and how far they are."""
    found = _run(target, Lists.all)
    if output != "table":
        printing.document([document(item) for item in found], output)
    elif found:
        click.echo(columns([_COLUMNS, *map(row, found)]))
    else:
        click.echo("There are no lists of images here. Make one: kubectl ohsb images add -f list.txt", err=True)


@images.command()
@click.argument("name", type=options.NAME, shell_complete=_names)
@click.option("--wait", is_flag=True, help="Wait until all images are on all nodes, and show the progress.")
@click.option("--timeout", type=options.DURATION, default="1h", show_default=True, help="How long to wait at most.")
@options.output
@options.target
def show(target: Target, name: str, wait: bool, timeout: Any, output: str) -> None:
    """Show a list by node, and which of its images fail. With --wait, it ends with 1 if some fail."""

    async def look(store: Lists) -> SandboxImages:
        item = await store.get(name)
        if wait:
            said = ""
            async for item in store.follow(name, timeout.total_seconds()):
                if (text := progress(item)) != said:
                    click.echo(text, err=True)
                    said = text
        return item

    item = _run(target, look)
    if output == "table":
        click.echo(page(item))
    else:
        printing.document(document(item), output)
    if wait and item.status.failed:
        raise SystemExit(1)


def progress(item: SandboxImages) -> str:
    """One line."""
    status = item.status
    return f"{status.ready} of {status.wanted} ready, {status.pulling} pulling, {status.failed} failed"


def row(item: SandboxImages) -> tuple[str, ...]:
    """Of the table of lists."""
    status = item.status
    ready = status.condition("Ready")
    numbers = (status.nodes, f"{status.ready}/{status.wanted}", status.pulling, status.failed, size(status.bytes))
    return (item.metadata.name, str(len(item.spec.images)), *map(str, numbers), ready.reason if ready else "-")


def page(item: SandboxImages) -> str:
    """All of one list."""
    status = item.status
    parts = [columns([_COLUMNS, row(item)])]
    parts += [f"{condition.type}: {condition.message}" for condition in status.conditions if condition.message]
    if status.by_node:
        nodes = [
            (node.name, str(node.ready), str(node.pulling), str(node.failed), size(node.bytes))
            for node in status.by_node
        ]
        parts.append(columns([("NODE", "READY", "PULLING", "FAILED", "SIZE"), *nodes]))
    if status.failures:
        failures = [(failure.image, failure.reason, str(failure.nodes), failure.message) for failure in status.failures]
        parts.append(columns([("FAILED IMAGE", "REASON", "NODES", "MESSAGE"), *failures]))
    return "\n\n".join(parts)


def document(item: SandboxImages) -> dict[str, Any]:
    """For programs."""
    status = item.status.model_dump(by_alias=True, exclude_defaults=True)
    return {"name": item.metadata.name, "images": len(item.spec.images), "settled": lists.is_settled(item), **status}


def size(bytes_: int) -> str:
    """For a person."""
    unit, factor = next((pair for pair in _UNITS if bytes_ >= pair[1]), ("B", 1))
    return f"{bytes_ / factor:.{1 if factor >= 10**9 else 0}f} {unit}"


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is no label: write KEY=VALUE", param_hint="'--node-selector'")
    return key, value

"""The command `kubectl ohsb usage`. Data goes to standard output, messages for people to standard error."""

import asyncio
import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from kubectl_ohsb import options, printing
from kubectl_ohsb.connection import Target, connect
from kubectl_ohsb.printing import columns
from sandbox_common.kube import KubeClient, Resource, unreadable
from sandbox_common.kube.resources import SANDBOX_CLASSES, SANDBOX_USAGES, SANDBOXES
from sandbox_common.times import rfc3339
from sandbox_common.usage import FIELDS, Days, Span, added, fields, present, up_to_now, within
from sandbox_crds.models import Sandbox, SandboxClass, SandboxUsage, UsageAmounts
from sandbox_crds.models.base import Model

_HOUR = 3600
_NO_OWNER = "(none)"
_HEADINGS = ("RUNNING h", "SUSPENDED h", "CPU core-h", "MEMORY GiB-h", "STORAGE GiB-h", "COLD", "WARM", "RESUMES")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.command()
@click.option("--since", type=options.DAY, help="First day, in UTC. Default: all days that are kept.")
@click.option("--until", type=options.DAY, help="Last day, in UTC. Default: today.")
@click.option(
    "--by", type=click.Choice(["owner", "class"]), default="owner", show_default=True, help="What each row sums up."
)
@options.output_with_csv
@options.target
def usage(target: Target, since: str | None, until: str | None, by: str, output: str) -> None:
    """Show what sandboxes have used: time, requested CPU and memory, volumes, and starts."""
    now = datetime.now(UTC)
    by_owner = asyncio.run(_read(target, now))
    rows = summed(by_owner, by, since or "", until or "")
    if output == "csv":
        click.echo(sheet(rows, by), nl=False)
    elif output != "table":
        printing.document(document(rows, by, now, since, until), output)
    elif rows:
        click.echo(table(rows, by))
    else:
        click.echo("No sandbox has used anything in this time.", err=True)


async def _read(target: Target, now: datetime) -> dict[str, Days]:
    async with connect(target, SANDBOX_USAGES.plural) as (client, namespace):
        records = await _all(client, namespace, SANDBOX_USAGES, SandboxUsage)
        classes = await _all(client, namespace, SANDBOX_CLASSES, SandboxClass)
        sandboxes = await _all(client, namespace, SANDBOXES, Sandbox)
    return usage_of(records, sandboxes, classes, now)


async def _all[M: Model](client: KubeClient, namespace: str, resource: Resource, model: type[M]) -> list[M]:
    pages = client.pages(resource, namespace)
    return [
        found async for page in pages for found in unreadable.decoded(resource, page["items"], model.model_validate)
    ]


def usage_of(
    records: Iterable[SandboxUsage], sandboxes: Iterable[Sandbox], classes: Iterable[SandboxClass], now: datetime
) -> dict[str, Days]:
    """By owner: what is recorded, and what the present sandboxes have used since then."""
    stored = {record.spec.owner: record.status for record in records}
    specs = {class_.metadata.name: class_.spec for class_ in classes}
    spans: dict[str, list[Span]] = {owner: [] for owner in stored}
    for sandbox in sandboxes:
        try:
            found = present(sandbox, specs.get(sandbox.spec.class_name))
        except (ValueError, OverflowError) as error:
            unreadable.report(SANDBOXES, sandbox.metadata.name, error)
        else:
            spans.setdefault(sandbox.spec.owner, []).extend(found)
    return {owner: up_to_now(stored.get(owner), found, int(now.timestamp())) for owner, found in spans.items()}


def summed(by_owner: Mapping[str, Days], by: str, since: str, until: str) -> dict[str, UsageAmounts]:
    """The sums of these days by owner or by class, in order; none for those without use."""
    parts: dict[str, list[UsageAmounts]] = {}
    for owner, days in by_owner.items():
        for classes in within(days, since, until).values():
            for name, amounts in classes.items():
                parts.setdefault(owner if by == "owner" else name, []).append(amounts)
    return {name: added(rows) for name, rows in sorted(parts.items())}


def table(rows: Mapping[str, UsageAmounts], by: str) -> str:
    """For people: hours and GiB."""
    return columns([(by.upper(), *_HEADINGS), *((name or _NO_OWNER, *_cells(row)) for name, row in rows.items())])


def _cells(row: UsageAmounts) -> tuple[str, ...]:
    hours = (
        row.running_seconds,
        row.suspended_seconds,
        row.cpu_millicore_seconds / 1000,
        row.memory_mebibyte_seconds / 1024,
        row.storage_mebibyte_seconds / 1024,
    )
    return (*(f"{value / _HOUR:.2f}" for value in hours), *map(str, (row.cold_starts, row.warm_starts, row.resumes)))


def document(
    rows: Mapping[str, UsageAmounts], by: str, now: datetime, since: str | None, until: str | None
) -> dict[str, Any]:
    """For programs: exact amounts, with the names that `GET /usage` has."""
    return {
        "since": since,
        "until": until,
        "through": rfc3339(now),
        "rows": [{by: name, **fields(row)} for name, row in rows.items()],
    }


def sheet(rows: Mapping[str, UsageAmounts], by: str) -> str:
    """As CSV (RFC 4180). A name that a spreadsheet would take as a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((by, *FIELDS))
    writer.writerows((_inert(name), *fields(row).values()) for name, row in rows.items())
    return text.getvalue()


def _inert(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name

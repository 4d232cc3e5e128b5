"""The commands of `kubectl ohsb keys`. Data goes to standard output, messages for people to standard error."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import click
from click.shell_completion import CompletionItem

from kubectl_ohsb import options, printing, views
from kubectl_ohsb.changes import Change, clear_key, policy, rotated, when
from kubectl_ohsb.connection import Target, connect, for_completion
from kubectl_ohsb.key_secrets import KeySecrets, StoredKey
from kubectl_ohsb.texts import Given
from sandbox_common.api_keys import ApiKey, Hash, Policy
from sandbox_common.keys import api_key_hash


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """Make, list, change and revoke API keys of the gateway.

    Each key has a Secret of the same name, with the key's SHA-256, its owner and what it allows. Changes take effect at
    once in all gateways. Sandboxes belong to the owner: all keys of an owner reach the same sandboxes, and of their
    limits the strictest ones apply.
    """


def _known_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of keys with this beginning; none when the cluster does not answer."""
    target = options.target_of(dict(context.params))

    async def ask() -> list[StoredKey]:
        async with connect(target) as (client, namespace):
            return await KeySecrets(client, namespace).all()

    return [CompletionItem(stored.name) for stored in for_completion(ask) if stored.name.startswith(incomplete)]


_existing = click.argument("name", type=options.NAME, shell_complete=_known_names)


@keys.command()
@click.argument("name", type=options.NEW_NAME)
@click.option("--owner", type=options.OWNER, required=True, help="Owner of the sandboxes that the key starts.")
@options.policy
@click.option("--admin", is_flag=True, help="Permission to see, pause and stop the sandboxes of all owners.")
@options.expiry(default="never")
@options.output
@options.target
def create(
    name: str,
    owner: str,
    limits: dict[str, int | None],
    images: tuple[str, ...],
    classes: tuple[str, ...],
    admin: bool,
    expires: Given[datetime] | None,
    output: str,
    target: Target,
) -> None:
    """Create a key and show it once."""
    clear = clear_key()
    hash_ = Hash(api_key_hash(clear), expires.value if expires else None)
    key = ApiKey(name, owner, (hash_,), policy(Policy(), limits, images, classes, admin))

    async def act(secrets: KeySecrets, namespace: str) -> None:
        stored = await secrets.create(key)
        _show_new(stored, key, clear, namespace, output)
        click.echo(f"Created API key {name} of owner {owner}. It expires: {when(hash_.expires)}.", err=True)

    _run(target, act)


@keys.command("list")
@options.output
@options.target
def list_(output: str, target: Target) -> None:
    """List the keys, without secrets."""

    async def act(secrets: KeySecrets, namespace: str) -> None:
        found, now = await secrets.all(), datetime.now(UTC)
        if output != "table":
            printing.document({"items": [views.document(stored, namespace, now) for stored in found]}, output)
        elif found:
            click.echo(views.table(found, now))
        else:
            click.echo(f"There is no API key in namespace {namespace}.", err=True)

    _run(target, act)


@keys.command()
@_existing
@options.output
@options.target
def show(name: str, output: str, target: Target) -> None:
    """Show what a key allows, and its owner's limits."""

    async def act(secrets: KeySecrets, namespace: str) -> None:
        stored, now = await secrets.get(name), datetime.now(UTC)
        key = stored.readable()
        of_owner = [other.key for other in await secrets.all() if other.key and other.key.owner == key.owner]
        sandboxes = await secrets.sandboxes(key.owner)
        if output != "table":
            held = views.document_of_owner(of_owner, sandboxes)
            printing.document({**views.document(stored, namespace, now), "ofOwner": held}, output)
        else:
            click.echo(views.page(stored, key, of_owner, sandboxes, now))

    _run(target, act)


keys.add_command(show, "describe")


@keys.command("set")
@_existing
@options.policy
@click.option("--all-images", is_flag=True, help="Allow all images that the gateway allows.")
@click.option("--own-class", is_flag=True, help="Allow only the gateway's own class.")
@click.option(
    "--admin/--no-admin",
    default=None,
    help="Give or take the permission to see, pause and stop the sandboxes of all owners.",
)
@options.expiry(never=True)
@click.option("--end-old", is_flag=True, help="End the older key of a rotation at once.")
@options.output
@options.target
def set_(
    name: str,
    limits: dict[str, int | None],
    images: tuple[str, ...],
    classes: tuple[str, ...],
    all_images: bool,
    own_class: bool,
    admin: bool | None,
    expires: Given[datetime] | None,
    end_old: bool,
    output: str,
    target: Target,
) -> None:
    """Change what a key allows. Omitted options stay unchanged.

    The value none removes a limit. Images and classes replace the previous ones.
    """
    _exclude("--image", images, "--all-images", all_images)
    _exclude("--class", classes, "--own-class", own_class)
    change = Change(limits, images, classes, expires, all_images, own_class, end_old, admin)
    if change.empty:
        raise click.UsageError(
            "Nothing to change: name a limit, an image, a class, --admin, --no-admin, --expires or --end-old."
        )

    async def act(secrets: KeySecrets, namespace: str) -> None:
        stored = await secrets.change(name, change.of)
        if output != "table":
            printing.document(views.document(stored, namespace, datetime.now(UTC)), output)
        else:
            click.echo(f"Changed API key {name}. To see it: kubectl ohsb keys show {name} --namespace {namespace}")

    _run(target, act)


@keys.command()
@_existing
@click.option(
    "--keep-old",
    type=options.DURATION,
    default="24h",
    show_default=True,
    help="How long the old key stays valid; 0: it ends at once.",
)
@options.expiry(default="as the present key")
@options.output
@options.target
def rotate(name: str, keep_old: timedelta, expires: Given[datetime] | None, output: str, target: Target) -> None:
    """Create a new key, and show it once. The old one stays valid for a time.

    Owner, limits, images, classes and sandboxes do not change, nor does the expiry without --expires.
    """
    clear = clear_key()
    end = expires.value if expires else None

    def change(key: ApiKey) -> ApiKey:
        return rotated(key, api_key_hash(clear), datetime.now(UTC), keep_old, end)

    async def act(secrets: KeySecrets, namespace: str) -> None:
        stored = await secrets.change(name, change)
        key = stored.readable()
        _show_new(stored, key, clear, namespace, output)
        older = f"is valid until {when(key.hashes[1].expires)}" if key.hashes[1:] else "is refused from now on"
        click.echo(f"API key {name} is rotated; the old key {older}.", err=True)

    _run(target, act)


@keys.command()
@_existing
@options.output
@options.target
def revoke(name: str, output: str, target: Target) -> None:
    """Remove a key: all gateways refuse it from now on. Its owner's sandboxes stay."""

    async def act(secrets: KeySecrets, namespace: str) -> None:
        stored = await secrets.get(name)
        others = views.others_of_owner(stored, await secrets.all())
        await secrets.delete(stored)
        sandboxes = await secrets.sandboxes(stored.key.owner) if stored.key else None
        if output != "table":
            printing.document(views.revoked(stored, namespace, others, sandboxes), output)
        else:
            click.echo(f"API key {name} is revoked.")
        for line in views.after_revocation(stored, namespace, others, sandboxes):
            click.echo(line, err=True)

    _run(target, act)


def _run(target: Target, act: Callable[[KeySecrets, str], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with connect(target) as (client, namespace):
            await act(KeySecrets(client, namespace), namespace)

    asyncio.run(connected())


def _exclude(option: str, given: Sequence[str], flag: str, flagged: bool) -> None:
    if given and flagged:
        raise click.UsageError(f"{option} and {flag} exclude each other: give only one of them.")


def _show_new(stored: StoredKey, key: ApiKey, clear: str, namespace: str, output: str) -> None:
    if output != "table":
        printing.document({**views.document(stored, namespace, datetime.now(UTC)), "key": clear}, output)
    else:
        click.echo(clear)
    click.echo("This is shown once: only its SHA-256 is stored. Clients send it in the header X-API-Key.", err=True)

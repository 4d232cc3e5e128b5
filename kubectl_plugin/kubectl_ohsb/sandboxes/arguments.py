"""Arguments and options that name sandboxes, owners and classes, with their completion."""

from collections.abc import Awaitable, Callable, Mapping

import click
from click.shell_completion import CompletionItem

from kubectl_ohsb import options
from kubectl_ohsb.connection import for_completion
from kubectl_ohsb.sandboxes.store import Store, opened, state
from sandbox_common import times

type _Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


async def _names(store: Store) -> Mapping[str, str]:
    now = times.utc_now()
    return {
        sandbox.metadata.name: f"{state(sandbox, None, now).status}, {sandbox.spec.owner or 'no owner'}"
        for sandbox in await store.all()
    }


async def _owners(store: Store) -> Mapping[str, str]:
    return {sandbox.spec.owner: "" for sandbox in await store.all() if sandbox.spec.owner}


async def _classes(store: Store) -> Mapping[str, str]:
    return dict.fromkeys(await store.classes(), "")


def _completed(words: Callable[[Store], Awaitable[Mapping[str, str]]]) -> _Complete:
    """Completes one of these words, of which each may have an explanation. It says nothing of what goes wrong."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        target = options.target_of(dict(context.params))

        async def ask() -> list[tuple[str, str]]:
            async with opened(target) as store:
                return sorted((await words(store)).items())

        found = for_completion(ask)
        return [CompletionItem(word, help=explained) for word, explained in found if word.startswith(incomplete)]

    return complete


name = click.argument("name", type=options.NAME, shell_complete=_completed(_names))
names = click.argument("names", metavar="[NAME]...", nargs=-1, type=options.NAME, shell_complete=_completed(_names))
complete_owner = _completed(_owners)
complete_class = _completed(_classes)

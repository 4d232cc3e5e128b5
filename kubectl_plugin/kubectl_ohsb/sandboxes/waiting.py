"""Waits for sandboxes, and shows people why it takes time."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import click

from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.printing import visible
from kubectl_ohsb.sandboxes.store import Classes, Store, state
from sandbox_common import times
from sandbox_common.kube import Informer
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.queue import places, with_place
from sandbox_common.sandboxes.view import View, is_seen
from sandbox_common.waiting import set_within
from sandbox_crds.models import Sandbox

_LOOK_SECONDS = 5.0
"""A message may change although nothing happens, for example how long a pull still takes."""


@dataclass(frozen=True, slots=True)
class Look:
    """A sandbox at one moment; `seen` is None once it is gone, or another one has its name."""

    name: str
    seen: View | None
    current: bool
    """Whether the operator has seen the latest spec."""

    @property
    def summary(self) -> str:
        """State and reason in one line."""
        if self.seen is None:
            return f"{self.name}: gone"
        if not self.current:
            return f"{self.name}: the operator has not seen the change yet"
        return visible(f"{self.name}: {self.seen.status}, {self.seen.summary}")


async def wait(
    store: Store, uids: Mapping[str, str], ended: Callable[[Look], bool], seconds: float
) -> Mapping[str, Look]:
    """Wait until `ended` is true for each of these sandboxes (UID by name), for at most `seconds`.

    Prints what changes to standard error. Returns the last looks; raises Refusal if there was none.
    """
    classes = await store.classes()
    # An informer repeats what the API server refuses, for ever.
    await store.client.list(SANDBOXES, store.namespace, limit="1")
    changed = asyncio.Event()
    informer = Informer(
        store.client,
        SANDBOXES,
        store.namespace,
        Sandbox.model_validate,
        field_selector=_selector(uids),
        on_change=lambda _, __: changed.set(),
    )
    following = asyncio.create_task(informer.run())
    looks: dict[str, Look] = {}
    try:
        async with asyncio.timeout(seconds):
            await informer.wait_synced()
            while True:
                changed.clear()
                for name, uid in uids.items():
                    look = _look(name, uid, informer, classes)
                    if looks.get(name) != look:
                        if name not in looks or looks[name].summary != look.summary:
                            click.echo(look.summary, err=True)
                        looks[name] = look
                if all(map(ended, looks.values())):
                    return looks
                await set_within(changed, _LOOK_SECONDS)
    except TimeoutError:
        if not looks:
            raise Refusal("the API server does not answer in time: try again, or give a longer --timeout") from None
        return looks
    finally:
        following.cancel()


def _selector(names: Collection[str]) -> str:
    """One sandbox is followed alone, several with all of the namespace: a selector cannot name several."""
    return "".join(f"metadata.name={name}" for name in names) if len(names) == 1 else ""


def _look(name: str, uid: str, known: Informer[Sandbox], classes: Classes) -> Look:
    sandbox = known.get(name)
    if sandbox is None or sandbox.metadata.uid != uid:
        return Look(name, None, current=True)
    seen = state(sandbox, classes.get(sandbox.spec.class_name), times.utc_now())
    if seen.reason == Reason.QUEUED:
        of_owner = [other for other in known if other.spec.owner == sandbox.spec.owner]
        seen = with_place(sandbox, seen, places(of_owner))
    return Look(name, seen, is_seen(sandbox))

"""The commands `kubectl ohsb pause`, `resume` and `stop`: what the gateway does for clients, for several sandboxes."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import click

from kubectl_ohsb import options, printing
from kubectl_ohsb.connection import Target
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.sandboxes import arguments
from kubectl_ohsb.sandboxes.store import Change, Classes, Store, run, state
from kubectl_ohsb.sandboxes.waiting import Look, wait
from sandbox_common import times
from sandbox_common.sandboxes.specs import PAUSED, RUNNING, is_paused, restart_spec
from sandbox_common.sandboxes.workspaces import would_lose_workspace
from sandbox_crds.models import Sandbox, SandboxClassSpec

type Command = Callable[..., None]

_NAMED = 10
"""Sandboxes that a question names."""


def paused(sandbox: Sandbox, class_: SandboxClassSpec | None, *, discard: bool) -> Change:
    """The change that pauses it. Raises Refusal when this would lose its workspace, unless it may be discarded."""
    _check_stays(sandbox)
    if is_paused(sandbox):
        return None
    if would_lose_workspace(sandbox, class_) and not discard:
        raise Refusal(
            f"{sandbox.metadata.name} would lose /workspace: its pod has no volume for it, and "
            f"workspace.discardOnSuspension of SandboxClass {sandbox.spec.class_name} is not true. To accept the loss: "
            "--discard-workspace"
        )
    return PAUSED


def resumed(sandbox: Sandbox, class_: SandboxClassSpec | None, now: datetime) -> Change:
    """The change that runs it again: a failed one gets a new pod."""
    _check_stays(sandbox)
    if sandbox.spec.suspend:
        return RUNNING
    return restart_spec(sandbox, now) if state(sandbox, class_, now).status == "error" else None


def _check_stays(sandbox: Sandbox) -> None:
    name = sandbox.metadata.name
    if sandbox.metadata.deletion_timestamp:
        raise Refusal(
            f"{name} is being deleted, and finalizers keep it: the controllers that set them must remove them, see "
            f"kubectl get ohsb {name} -o yaml"
        )


@dataclass(frozen=True, slots=True)
class Verb:
    """What a command does, and how a look at a sandbox after it is judged."""

    done: str
    """The past participle."""
    unchanged: str
    """What a sandbox is that needs no change."""
    ended: Callable[[Look], bool]
    succeeded: Callable[[Look], bool]


PAUSE = Verb(
    "paused",
    "already paused",
    # A pause that somebody takes back has ended, too.
    lambda look: look.seen is None or (look.current and (look.seen.suspended or look.seen.status != "paused")),
    lambda look: look.seen is not None and look.seen.suspended,
)
START = Verb(
    "started",
    "started already",
    lambda look: look.seen is None or (look.current and look.seen.status != "starting"),
    lambda look: look.seen is not None and look.seen.ready,
)
RESUME = Verb("resumed", "not paused", START.ended, START.succeeded)
STOP = Verb("stopped", "gone", lambda look: look.seen is None, lambda look: look.seen is None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one sandbox. `problem` is empty if the command did what it shall."""

    name: str
    result: str
    problem: str = ""
    look: Look | None = None

    def document(self) -> dict[str, Any]:
        """For programs."""
        seen = self.look.seen if self.look else None
        return {
            "name": self.name,
            "result": self.result,
            "problem": self.problem,
            "state": seen.status if seen else "",
            "reason": seen.reason if seen else "",
        }


def judged(verb: Verb, name: str, changed: bool, look: Look, seconds: float) -> Outcome:
    """The outcome after a wait of this many seconds at most."""
    result = verb.done if changed else verb.unchanged
    if verb.ended(look) and verb.succeeded(look):
        return Outcome(name, result, look=look)
    why = f"To see why: kubectl ohsb explain {name}"
    if verb.ended(look):
        return Outcome(name, "failed", f"not {verb.done}: {look.summary}. {why}", look)
    return Outcome(name, "waiting", f"not {verb.done} after {seconds:.0f} s: {look.summary}. {why}", look)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which sandboxes, and how to wait for them."""

    names: Sequence[str]
    owner: str | None
    yes: bool
    wait: bool
    seconds: float
    output: str


def waiting(command: Command) -> Command:
    """`--wait` and `--timeout`, as `wait` and `timeout`."""
    timeout = click.option(
        "--timeout", type=options.DURATION, default="5m", show_default=True, help="How long to wait at most."
    )
    return click.option("--wait/--no-wait", default=True, show_default=True, help="Wait, and show the progress.")(
        timeout(command)
    )


def _choice(command: Command) -> Command:
    """Names or all of an owner, waiting and output, as `chosen`."""

    @functools.wraps(command)
    def gathered(
        names: tuple[str, ...],
        every: bool,
        owner: str | None,
        yes: bool,
        wait: bool,
        timeout: timedelta,
        output: str,
        **kwargs: Any,
    ) -> None:
        if every != (owner is not None):
            raise click.UsageError("--all and --owner belong together: give both to choose all sandboxes of an owner.")
        if bool(names) == every:
            raise click.UsageError("Give the names of sandboxes, or --all --owner OWNER.")
        chosen = Chosen(list(dict.fromkeys(names)), owner, yes, wait, timeout.total_seconds(), output)
        command(chosen=chosen, **kwargs)

    found: Command = gathered
    for decorate in (
        options.output,
        waiting,
        click.option("-y", "--yes", is_flag=True, help="Do not ask before all sandboxes of an owner are changed."),
        click.option("--owner", type=options.OWNER, shell_complete=arguments.complete_owner, help="Owner, for --all."),
        click.option("--all", "every", is_flag=True, help="All sandboxes of the owner that --owner names."),
        arguments.names,
    ):
        found = decorate(found)
    return found


@click.command()
@_choice
@click.option("--discard-workspace", is_flag=True, help="Pause it even if this loses its /workspace.")
@options.target
def pause(chosen: Chosen, discard_workspace: bool, target: Target) -> None:
    """Suspend sandboxes: their pods end, keys and workspaces on volumes stay. No request wakes them.

    \b
    Examples:
      # Pause one, and wait until its pod is gone
      kubectl ohsb pause sb-6uxlxqp7zjr6zdcfkkwvh3ux
      # Pause all of an owner, without waiting
      kubectl ohsb pause --all --owner team-a --no-wait
    """

    async def act(store: Store, name: str, classes: Classes) -> tuple[str, bool]:
        return await store.change(
            name, lambda found: paused(found, classes.get(found.spec.class_name), discard=discard_workspace)
        )

    _carry_out(target, chosen, PAUSE, act)


@click.command()
@_choice
@options.target
def resume(chosen: Chosen, target: Target) -> None:
    """Run paused, idle or failed sandboxes again, and wait until they are ready.

    \b
    Examples:
      # Run one again; the progress says what it waits for
      kubectl ohsb resume sb-6uxlxqp7zjr6zdcfkkwvh3ux
      # Two, for a script
      kubectl ohsb resume sb-one sb-two --timeout 10m -o json
    """

    async def act(store: Store, name: str, classes: Classes) -> tuple[str, bool]:
        now = times.utc_now()
        return await store.change(name, lambda found: resumed(found, classes.get(found.spec.class_name), now))

    _carry_out(target, chosen, RESUME, act)


@click.command()
@_choice
@options.target
def stop(chosen: Chosen, target: Target) -> None:
    """Delete sandboxes with their pods, keys and workspaces.

    \b
    Examples:
      # Stop two
      kubectl ohsb stop sb-one sb-two
      # Stop all of an owner; it asks before
      kubectl ohsb stop --all --owner team-a
    """

    async def act(store: Store, name: str, _: Classes) -> tuple[str, bool]:
        return await store.delete(name), True

    _carry_out(target, chosen, STOP, act)


def _carry_out(target: Target, chosen: Chosen, verb: Verb, act: Callable[[Store, str, Classes], Any]) -> None:
    async def do(store: Store) -> list[Outcome]:
        names = chosen.names
        if chosen.owner is not None:
            names = [found.metadata.name for found in await store.all() if found.spec.owner == chosen.owner]
            if names and not chosen.yes:
                _confirm(verb, names, chosen.owner)
        classes = await store.classes()
        changed: dict[str, bool] = {}
        uids: dict[str, str] = {}
        outcomes: dict[str, Outcome] = {}
        for name in names:
            try:
                uids[name], changed[name] = await act(store, name, classes)
            except Refusal as refusal:
                outcomes[name] = Outcome(name, "failed", refusal.message)
            else:
                outcomes[name] = Outcome(name, verb.done if changed[name] else verb.unchanged)
        if chosen.wait and uids:
            looks = await wait(store, uids, verb.ended, chosen.seconds)
            for name, look in looks.items():
                outcomes[name] = judged(verb, name, changed[name], look, chosen.seconds)
        return list(outcomes.values())

    report(run(target, do), chosen.output)


def _confirm(verb: Verb, names: Sequence[str], owner: str) -> None:
    """Raises Refusal unless the user agrees."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    question = (
        f"{len(names)} sandboxes of owner {owner} will be {verb.done}: {', '.join(names[:_NAMED])}{more}. Continue?"
    )
    try:
        sure = click.confirm(question, err=True)
    except click.Abort:
        raise Refusal("there was no answer, so nothing is changed: give --yes") from None
    if not sure:
        raise Refusal("nothing is changed")


def report(outcomes: Iterable[Outcome], output: str) -> None:
    """Print the outcomes; ends with 1 if there is a problem."""
    found = list(outcomes)
    if output != "table":
        printing.document({"items": [outcome.document() for outcome in found]}, output)
    elif not found:
        click.echo("The owner has no sandbox.", err=True)
    for outcome in found:
        if outcome.problem:
            click.echo(f"Error: {printing.visible(outcome.problem)}", err=True)
        elif output == "table":
            click.echo(f"sandbox {outcome.name} {outcome.result}")
    if any(outcome.problem for outcome in found):
        raise SystemExit(1)

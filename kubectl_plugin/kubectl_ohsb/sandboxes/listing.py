"""The command `kubectl ohsb list`: sandboxes as rows."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import click

from kubectl_ohsb import options, printing
from kubectl_ohsb.connection import Target
from kubectl_ohsb.errors import Refusal
from kubectl_ohsb.printing import age, cut
from kubectl_ohsb.sandboxes import arguments
from kubectl_ohsb.sandboxes.store import Classes, Store, run, state
from sandbox_common import times
from sandbox_common.kube.resources import SANDBOXES
from sandbox_common.reasons import Lifecycle, Reason
from sandbox_crds.models import Sandbox

_UNREADABLE = "unreadable"
_WIDEST = 40
"""Characters of a session, an owner or an image in a table."""
_UNCUT = 1024
"""No such text is longer."""
_HEADINGS = ("NAME", "SESSION", "OWNER", "STATE", "REASON", "IMAGE", "CLASS", "AGE", "IDLE", "POOL")


@dataclass(frozen=True, slots=True)
class Row:
    """One sandbox. Times are RFC 3339; `idle_since` is empty unless it is suspended for idleness."""

    name: str
    session: str
    owner: str
    state: str
    reason: str
    image: str
    class_name: str
    created: str
    idle_since: str
    pool: str
    message: str

    @classmethod
    def of(cls, sandbox: Sandbox, classes: Classes, now: datetime) -> "Row":
        """The row of this sandbox at `now`."""
        spec, status = sandbox.spec, sandbox.status
        condition = status.condition("Ready")
        is_idle = spec.suspend and condition is not None and condition.reason == Reason.IDLE
        try:
            seen = state(sandbox, classes.get(spec.class_name), now)
            said = (seen.status, seen.reason, seen.message)
        except Refusal as refusal:
            said = (_UNREADABLE, "", refusal.message)
        return cls(
            name=sandbox.metadata.name,
            session=spec.session_id,
            owner=spec.owner,
            state=said[0],
            reason=said[1],
            image=spec.image,
            class_name=spec.class_name,
            created=sandbox.metadata.creation_timestamp,
            idle_since=condition.last_transition_time if is_idle and condition else "",
            pool=status.pool,
            message=said[2],
        )

    def cells(self, now: datetime, *, wide: bool) -> tuple[str, ...]:
        """For the table; long texts are cut unless it may be wide."""
        most = _UNCUT if wide else _WIDEST
        return (
            self.name,
            cut(self.session, most) or "-",
            cut(self.owner, most) or "-",
            self.state,
            self.reason or "-",
            cut(self.image, most, keep_end=True),
            self.class_name,
            age(self.created, now),
            age(self.idle_since, now),
            self.pool or "-",
        )

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "sessionID": self.session,
            "owner": self.owner,
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "image": self.image,
            "className": self.class_name,
            "created": self.created,
            "idleSince": self.idle_since,
            "pool": self.pool,
        }


_ORDERS: dict[str, Callable[[Row], tuple[str, ...]]] = {
    "name": lambda row: (),
    "session": lambda row: (row.session,),
    "owner": lambda row: (row.owner, row.state),
    "state": lambda row: (row.state, row.reason),
    "age": lambda row: (row.created,),
    "idle": lambda row: (row.idle_since or "9", row.idle_since),
    "image": lambda row: (row.image,),
    "class": lambda row: (row.class_name,),
}
"""Rows of equal order are sorted by name. Age and idle: the longest first."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are shown: those that have one of the values for each field; an empty field allows all."""

    owners: Collection[str] = ()
    sessions: Collection[str] = ()
    classes: Collection[str] = ()
    states: Collection[str] = ()
    reasons: Collection[str] = ()

    def allows(self, row: Row) -> bool:
        """Whether the row is shown."""
        fields = (
            (self.owners, row.owner),
            (self.sessions, row.session),
            (self.classes, row.class_name),
            (self.states, row.state),
            (self.reasons, row.reason),
        )
        return all(not wanted or value in wanted for wanted, value in fields)


def ordered(rows: Sequence[Row], order: str) -> list[Row]:
    """In one of `_ORDERS`."""
    return sorted(rows, key=lambda row: (_ORDERS[order](row), row.name))


@click.command("list")
@click.option(
    "--owner", "owners", multiple=True, shell_complete=arguments.complete_owner, help="Only sandboxes of this owner."
)
@click.option("--session", "sessions", metavar="ID", multiple=True, help="Only the sandboxes of this session id.")
@click.option(
    "--class",
    "classes",
    metavar="NAME",
    multiple=True,
    shell_complete=arguments.complete_class,
    help="Only this SandboxClass.",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*get_args(Lifecycle), _UNREADABLE]),
    help="Only this state.",
)
@click.option(
    "--reason",
    "reasons",
    metavar="REASON",
    multiple=True,
    type=click.Choice([reason.value for reason in Reason], case_sensitive=False),
    help="Only this reason, such as Unschedulable; docs/reasons.md lists all.",
)
@click.option("--sort", type=click.Choice(list(_ORDERS)), default="name", show_default=True, help="Order of the rows.")
@click.option("--limit", type=click.IntRange(min=1), help="Show at most this many rows.")
@options.output_with_wide
@options.target
def command(
    owners: tuple[str, ...],
    sessions: tuple[str, ...],
    classes: tuple[str, ...],
    states: tuple[str, ...],
    reasons: tuple[str, ...],
    sort: str,
    limit: int | None,
    output: str,
    target: Target,
) -> None:
    """List sandboxes with state and reason. Each filter can be repeated.

    IDLE is the time since a sandbox was suspended for idleness.

    \b
    Examples:
      # What does not start, the oldest first
      kubectl ohsb list --state starting --state error --sort age
      # Sandboxes of one owner, whose texts are not cut
      kubectl ohsb list --owner team-a -o wide
      # The name of a client's session
      kubectl ohsb list --session 5f0c2b7a -o json | jq -r '.items[].name'
    """
    wanted = Filter(owners, sessions, classes, states, reasons)
    now = times.utc_now()

    async def read(store: Store) -> tuple[str, list[Row]]:
        known = await store.classes()
        rows = [Row.of(sandbox, known, now) async for sandbox in store.each(SANDBOXES, Sandbox)]
        return store.namespace, [row for row in rows if wanted.allows(row)]

    namespace, found = run(target, read)
    rows = ordered(found, sort)[:limit]
    if output in {"json", "yaml"}:
        printing.document({"items": [row.document() for row in rows], "total": len(found)}, output)
        return
    if rows:
        click.echo(printing.columns([_HEADINGS, *(row.cells(now, wide=output == "wide") for row in rows)]))
    else:
        which = "No sandbox matches" if wanted != Filter() else "There is no sandbox"
        click.echo(f"{which} in namespace {namespace}.", err=True)
    if len(rows) < len(found):
        click.echo(f"{len(found) - len(rows)} more; --limit shows {limit}.", err=True)

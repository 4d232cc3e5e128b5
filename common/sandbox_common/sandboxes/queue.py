"""The queue of an owner's sandboxes that wait for room in its limits, as their status shows it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sandbox_common.reasons import Reason
from sandbox_common.sandboxes.view import View
from sandbox_crds.models import Sandbox

type Queue = Mapping[str, int]
"""Places by name of the Sandbox; the first is 1."""


def places(owned: Iterable[Sandbox]) -> Queue:
    """The queue of one owner, whose sandboxes these are."""
    waiting = sorted(_turn(known) for known in owned if waits(known))
    return {name: place for place, (_, name) in enumerate(waiting, 1)}


def with_place(sandbox: Sandbox, seen: View, queue: Queue) -> View:
    """The view of a sandbox that waits: its message begins with its place in its owner's queue."""
    place = queue.get(sandbox.metadata.name, len(queue))
    return replace(seen, message=f"Place {place} of {len(queue)} in the queue. {seen.message}")


def waits(sandbox: Sandbox) -> bool:
    """Whether the operator has put it into the queue."""
    condition = sandbox.status.condition("Ready")
    return not sandbox.spec.suspend and condition is not None and condition.reason == Reason.QUEUED


def _turn(sandbox: Sandbox) -> tuple[str, str]:
    """The same order as the operator's (`Place` in `sandbox_operator.limits`)."""
    condition = sandbox.status.condition("Ready")
    return condition.last_transition_time if condition else "", sandbox.metadata.name

"""The conditions of Sandboxes and SandboxPools, and the merge patch of a status."""

from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel

from sandbox_common import times
from sandbox_crds.models import Condition

READY = "Ready"
"""Type of the condition that sums up a sandbox or a pool."""
EXPIRING = "Expiring"
"""Type of the condition that announces a sandbox's deletion."""
STALLED = "Stalled"
"""Type of the condition that a sandbox has while it has failed for good, for tools that follow kstatus."""


def condition(
    type_: str, old: Condition | None, *, holds: bool, reason: str, message: str, generation: int, now: datetime
) -> Condition:
    """A condition of this generation. The time of its last transition stays while status and reason stay the same."""
    status = "True" if holds else "False"
    unchanged = old is not None and old.status == status and old.reason == reason
    made = Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=old.last_transition_time if old and unchanged else times.rfc3339(now),
        observed_generation=generation,
    )
    # An earlier version did not write the generation. That alone is not worth a write.
    return old if old and made.model_copy(update={"observed_generation": None}) == old else made


def patch[Status: BaseModel](old: Status, new: Status) -> dict[str, Any]:
    """A JSON merge patch from one status to the next; empty if nothing has changed."""
    changed = {name for name in type(new).model_fields if getattr(old, name) != getattr(new, name)}
    if not changed:
        return {}
    before = old.model_dump(by_alias=True, include=changed)
    return {
        name: _merging(before[name], value) for name, value in new.model_dump(by_alias=True, include=changed).items()
    }


def _merging(before: object, value: object) -> object:
    """The merge patch from one value to the other. A merge removes entries of an object only if they are null."""
    if not isinstance(before, dict) or not isinstance(value, dict):
        return value
    entries = cast("dict[str, object]", value)
    gone = cast("dict[str, object]", before).keys() - entries.keys()
    return {**entries, **dict.fromkeys(gone)}

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


def ready(old: Condition | None, *, holds: bool, reason: str, message: str, now: datetime) -> Condition:
    """The condition `Ready`."""
    return condition(READY, old, holds=holds, reason=reason, message=message, now=now)


def condition(type_: str, old: Condition | None, *, holds: bool, reason: str, message: str, now: datetime) -> Condition:
    """A condition. The time of its last transition stays while status and reason stay the same."""
    status = "True" if holds else "False"
    unchanged = old is not None and old.status == status and old.reason == reason
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=old.last_transition_time if old and unchanged else times.rfc3339(now),
    )


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

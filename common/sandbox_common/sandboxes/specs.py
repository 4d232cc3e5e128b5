"""How a Sandbox's spec says that it is paused, and the fields that pause it or run it again. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sandbox_common import times
from sandbox_crds.models import Sandbox

PAUSED: Mapping[str, Any] = {"suspend": True, "suspendReason": "Requested"}
"""Spec fields of a sandbox that a client has paused."""

RUNNING: Mapping[str, Any] = {"suspend": False, "suspendReason": ""}
"""Spec fields of a sandbox that shall run."""

PINNED: Mapping[str, Any] = {"warmStart": "Never"}
"""Spec fields of a sandbox whose session key a client has: a warm pod must not bring another key."""


def restart_spec(sandbox: Sandbox, now: datetime) -> dict[str, Any]:
    """Spec fields that give a sandbox a new pod, whether it has one or will soon have one.

    The present pod's time comes from the API server, `now` from this process. The new time is later than both.
    """
    known = [now.replace(microsecond=0)]
    if sandbox.status.start_time:
        known.append(times.parse(sandbox.status.start_time) + timedelta(seconds=1))
    return {**RUNNING, "restartedAt": times.rfc3339(max(known))}


def is_idle(sandbox: Sandbox) -> bool:
    """Whether it is suspended and a request wakes it. Not if a client or kubectl paused it, or its start failed."""
    return sandbox.spec.suspend and sandbox.spec.suspend_reason == "Idle"


def is_paused(sandbox: Sandbox) -> bool:
    """Whether only /resume and /start run it again."""
    return sandbox.spec.suspend and not is_idle(sandbox)

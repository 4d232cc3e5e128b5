"""What is said when a limit of an owner is reached, by the operator and by the gateway alike."""

from typing import Literal

Limit = Literal["running", "sandboxes", "startsPerMinute"]
"""Limits that several sandboxes share, by their names in an API key's policy."""

_TAKEN_BY: dict[Limit, str] = {
    "running": "so many of its sandboxes start or run",
    "sandboxes": "it has so many sandboxes, paused ones included",
    "startsPerMinute": "so many of its sandboxes were started within a minute",
}

HOW_TO_FREE: dict[Limit, str] = {
    "running": "Pause or stop one of them",
    "sandboxes": "Stop one of them",
    "startsPerMinute": "Wait a minute",
}
"""What an owner can do by itself, without a full stop."""


def reached(limit: Limit, value: int, owner: str) -> str:
    """One sentence that names the limit, its value and what takes it."""
    return f"Limit {limit}={value} of owner {owner} is reached: {_TAKEN_BY[limit]}."

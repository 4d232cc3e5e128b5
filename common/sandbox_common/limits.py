"""The message when an owner has reached a limit, for operator and gateway."""

from typing import Literal

Limit = Literal["running", "sandboxes", "startsPerMinute"]
"""Limits that an owner's sandboxes share, by their names in an API key's policy."""

_TAKEN_BY: dict[Limit, tuple[str, str]] = {
    "running": ("1 sandbox is starting or running", "{} sandboxes are starting or running"),
    "sandboxes": ("1 sandbox exists, paused ones included", "{} sandboxes exist, paused ones included"),
    "startsPerMinute": (
        "1 sandbox was started within the last minute",
        "{} sandboxes were started within the last minute",
    ),
}
"""Words for a limit of one, and for larger ones."""

HOW_TO_FREE: dict[Limit, str] = {
    "running": "Pause or stop one of them",
    "sandboxes": "Stop one of them",
    "startsPerMinute": "Wait a minute",
}
"""What an owner can do without an administrator. Without a period."""


def reached(limit: Limit, value: int, owner: str) -> str:
    """One sentence with the limit, its value and what uses it. Only for people: code must not parse it."""
    if value == 0:
        return f"Owner {owner} has the limit {limit}=0, which lets no sandbox start."
    one, several = _TAKEN_BY[limit]
    taken = one if value == 1 else several.format(value)
    return f"Owner {owner} has reached its limit {limit}={value}: {taken}."

"""The server under test, and what is needed to test it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Target:
    """`url` has no trailing slash. `other_api_key` is a key of another owner, "" for none."""

    url: str
    api_key: str = field(repr=False)
    image: str
    other_api_key: str = field(default="", repr=False)
    start_timeout: float = 300.0
    sdk_python: Path | None = None


class Secrets:
    """Keys that must not appear in a report."""

    def __init__(self, *known: str) -> None:
        self._known = set(known) - {""}

    def add(self, secret: object) -> None:
        """Remember a key, if it is a text. Short texts are not keys, and would garble the report."""
        if isinstance(secret, str) and len(secret) >= 8:
            self._known.add(secret)

    def hide(self, text: str) -> str:
        """The text without them."""
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, "[key]")
        return text


TARGET = pytest.StashKey[Target]()
SECRETS = pytest.StashKey[Secrets]()

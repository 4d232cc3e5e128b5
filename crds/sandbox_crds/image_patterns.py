"""Patterns of images, as the chart and the Secrets of API keys list them; docs/images.md describes them. Pure.

A pattern is written with its registry and in lower case: `ghcr.io/openhands/*`, `docker.io/library/python:3.13`,
`ghcr.io/openhands/agent-server@sha256:…`, `registry.example:5000/*@sha256:*`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
"""Part of a repository's name between two slashes, as a regular expression."""
TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"

_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_PORT = ":[0-9]{1,5}"
_REGISTRY = rf"(?:(?:localhost|{_LABEL}(?:\.{_LABEL})+)(?:{_PORT})?|{_LABEL}{_PORT})"
_REPOSITORY = rf"(?:\*|{COMPONENT}(?:/{COMPONENT})*(?:/\*)?)"
_ANY_DIGEST = "@sha256:*"
PATTERN = rf"^({_REGISTRY}/{_REPOSITORY})(:{TAG}|@sha256:(?:[0-9a-f]{{64}}|\*))?$"
"""The grammar, in the common part of all dialects of regular expressions: name and version."""

_PATTERN = re.compile(PATTERN)
MAXIMUM = 512
"""Characters of a pattern."""


@dataclass(frozen=True, slots=True)
class ImagePattern:
    """`name` is registry and repository, or what comes before them with a `/` at the end.

    `version` is `:tag`, `@digest`, `@sha256:*` for any digest, or empty for whatever it is.
    """

    name: str
    version: str

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> "ImagePattern":
        """Raises ValueError."""
        match = _PATTERN.fullmatch(text) if len(text) <= MAXIMUM else None
        if match is None:
            raise ValueError(
                f"{text[:100]!a} is no pattern of images: write registry/repository in lower case, registry/* or "
                "registry/path/* for all that is beneath, and then nothing, :tag, @sha256: with 64 hex digits, or "
                f"{_ANY_DIGEST} (at most {MAXIMUM} characters)"
            )
        return cls(_normal(match[1].removesuffix("*")), match[2] or "")

    def matches(self, name: str, version: str) -> bool:
        """Whether it is this image; `name` is its registry and repository, `version` its `@digest` or else `:tag`."""
        if not (name.startswith(self.name) if self.name.endswith("/") else name == self.name):
            return False
        if self.version == _ANY_DIGEST:
            return version.startswith(_ANY_DIGEST.removesuffix("*"))
        return self.version in {"", version}


def _normal(name: str) -> str:
    """Docker Hub's other spellings, as container runtimes read them."""
    return re.sub(r"^docker\.io/([^/]+)$", r"docker.io/library/\1", re.sub(r"^index\.docker\.io/", "docker.io/", name))


def _checked(text: str) -> str:
    ImagePattern.parse(text)
    return text


PatternText = Annotated[str, StringConstraints(max_length=MAXIMUM), AfterValidator(_checked)]
"""Text of a pattern, for fields of pydantic models."""

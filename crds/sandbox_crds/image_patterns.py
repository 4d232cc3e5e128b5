"""Patterns of images, as in the chart's values and in the Secrets of API keys; docs/images.md describes them. Pure.

A pattern has a registry and is in lower case: `ghcr.io/openhands/*`, `docker.io/library/python:3.13`,
`ghcr.io/openhands/agent-server@sha256:…`, `registry.example:5000/*@sha256:*`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
"""A part of a repository's name between two slashes, as a regular expression."""
TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"

_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_PORT = ":[0-9]{1,5}"
_REGISTRY = rf"(?:(?:localhost|{_LABEL}(?:\.{_LABEL})+)(?:{_PORT})?|{_LABEL}{_PORT})"
_REPOSITORY = rf"(?:\*|{COMPONENT}(?:/{COMPONENT})*(?:/\*)?)"
_ANY_DIGEST = "@sha256:*"
PATTERN = rf"^({_REGISTRY}/{_REPOSITORY})(:{TAG}|@sha256:(?:[0-9a-f]{{64}}|\*))?$"
"""The grammar, name and version, in a form that all dialects of regular expressions understand."""

_PATTERN = re.compile(PATTERN)
MAXIMUM = 512
"""Maximum number of characters of a pattern."""


@dataclass(frozen=True, slots=True)
class ImagePattern:
    """`name` is registry and repository, or a prefix of them that ends with `/`.

    `version` is `:tag`, `@digest`, `@sha256:*` for any digest, or empty for any version.
    """

    name: str
    version: str

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> "ImagePattern":
        """Parse a pattern. Raises ValueError."""
        match = _PATTERN.fullmatch(text) if len(text) <= MAXIMUM else None
        if match is None:
            raise ValueError(
                f"{text[:100]!a} is no pattern of images: write registry/repository in lower case, registry/* or "
                "registry/path/* for all that is beneath, and then nothing, :tag, @sha256: with 64 hex digits, or "
                f"{_ANY_DIGEST} (at most {MAXIMUM} characters)"
            )
        return cls(_normal(match[1].removesuffix("*")), match[2] or "")

    def matches(self, name: str, version: str) -> bool:
        """Whether an image matches. `name` is its registry and repository, `version` its `@digest` or else `:tag`."""
        if not (name.startswith(self.name) if self.name.endswith("/") else name == self.name):
            return False
        if self.version == _ANY_DIGEST:
            return version.startswith(_ANY_DIGEST.removesuffix("*"))
        return self.version in {"", version}


def _normal(name: str) -> str:
    """The name with Docker Hub's short spellings expanded, as container runtimes do it."""
    return re.sub(r"^docker\.io/([^/]+)$", r"docker.io/library/\1", re.sub(r"^index\.docker\.io/", "docker.io/", name))


def _checked(text: str) -> str:
    ImagePattern.parse(text)
    return text


PatternText = Annotated[str, StringConstraints(max_length=MAXIMUM), AfterValidator(_checked)]
"""Text of a pattern, for fields of pydantic models."""

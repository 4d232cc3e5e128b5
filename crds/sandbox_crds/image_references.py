"""The grammar of image references, as container runtimes read them (github.com/distribution/reference). Pure."""

import re
from dataclasses import dataclass

from sandbox_crds.image_patterns import COMPONENT, TAG

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?"
"""A registry with its optional port, as a regular expression."""
REFERENCE = re.compile(
    rf"(?P<name>(?:{HOST}/)?{COMPONENT}(?:/{COMPONENT})*)"
    rf"(?::(?P<tag>{TAG}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
PATTERN = "^" + re.sub(r"\?P<[a-z]+>", "?:", REFERENCE.pattern) + "$"
"""The same for schemas, in a form that all dialects of regular expressions understand."""
REGISTRY = re.compile(HOST)
_DEFAULT_REGISTRY = "docker.io"


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry. `version` is its digest, or else its tag."""

    registry: str
    repository: str
    version: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """From text such as `python`, `ghcr.io/a/b:tag` or `host:5000/a@sha256:…`. Raises ValueError."""
        match = REFERENCE.fullmatch(text)
        if match is None:
            raise ValueError("is no image reference, such as registry.example/name:tag")
        registry, repository = _split(match["name"])
        return cls(registry, repository, match["digest"] or match["tag"] or "latest")

    def __str__(self) -> str:
        """The full form: the same for each spelling of one image."""
        return f"{self.registry}/{self.repository}{'@' if ':' in self.version else ':'}{self.version}"


def registry_name(text: str) -> str:
    """A registry's name in the one form in which references have it. Raises ValueError."""
    name = text.strip().lower()
    if not REGISTRY.fullmatch(name):
        raise ValueError(f"{text!r} is no registry: give host or host:port, without scheme and path")
    return _spelled(name)


def _spelled(registry: str) -> str:
    return _DEFAULT_REGISTRY if registry == f"index.{_DEFAULT_REGISTRY}" else registry


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(first) & set(".:[") or first == "localhost" or first != first.lower()):
        registry, repository = _DEFAULT_REGISTRY, name
    else:
        # Runtimes also take `a__b.c/name` for a registry's, though no such host is valid.
        registry, repository = _spelled(first.lower()), rest
    if registry == _DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository

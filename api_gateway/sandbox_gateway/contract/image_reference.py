"""Image references, read as container runtimes read them (github.com/distribution/reference). Pure."""

import re
from dataclasses import dataclass

from sandbox_crds.image_references import HOST, REFERENCE

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


def registry_name(text: str) -> str:
    """A registry's name in the one form in which references have it. Raises ValueError."""
    name = text.strip().lower()
    if not REGISTRY.fullmatch(name):
        raise ValueError(f"{text!r} is no registry: give host or host:port, without scheme and path")
    return _DEFAULT_REGISTRY if name == f"index.{_DEFAULT_REGISTRY}" else name


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(first) & set(".:[") or first == "localhost" or first != first.lower()):
        registry, repository = _DEFAULT_REGISTRY, name
    else:
        registry, repository = registry_name(first), rest
    if registry == _DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository

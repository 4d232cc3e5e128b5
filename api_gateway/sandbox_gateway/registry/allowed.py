"""Whether a list of patterns allows an image. Pure. The chart's ValidatingAdmissionPolicy decides in the same way."""

import re
from collections.abc import Iterable

from sandbox_crds.image_patterns import ImagePattern
from sandbox_crds.image_references import Reference

_ID = re.compile("sha(256|384|512):")
"""Container runtimes read `sha256:12ab` as the id of an image on the node; containerd also accepts its beginning."""


def is_allowed(image: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns matches. Raises ValueError for a form of names that no pattern can match."""
    name, version = _name_and_version(image)
    return any(ImagePattern.parse(pattern).matches(name, version) for pattern in patterns)


def _name_and_version(image: str) -> tuple[str, str]:
    if _ID.match(image):
        raise ValueError("is the id of an image on a node, which says nothing of where it comes from")
    first, slash, _ = image.partition("/")
    if slash and first != first.lower():
        # The same host, but nodes may have other settings for this spelling: mirrors, credentials.
        raise ValueError("names its registry with upper-case letters")
    reference = Reference.parse(image)
    version = reference.version
    return f"{reference.registry}/{reference.repository}", f"@{version}" if ":" in version else f":{version}"

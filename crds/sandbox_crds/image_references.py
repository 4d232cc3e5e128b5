"""The grammar of image references, as container runtimes read them (github.com/distribution/reference). Pure."""

import re

from sandbox_crds.image_patterns import COMPONENT, TAG

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::[0-9]{{1,5}})?"
"""A registry, with its port if it has one, as a regular expression."""
REFERENCE = re.compile(
    rf"(?P<name>(?:{HOST}/)?{COMPONENT}(?:/{COMPONENT})*)"
    rf"(?::(?P<tag>{TAG}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
PATTERN = "^" + re.sub(r"\?P<[a-z]+>", "?:", REFERENCE.pattern) + "$"
"""The same for schemas, in the common part of all dialects of regular expressions."""

"""Secrets, in every form in which one may leak, and the search for them. Pure."""

import base64
import re
from collections.abc import Iterable, Mapping, Set
from typing import Any
from urllib.parse import quote

from sandbox_common.environment import SECRET_KEY, SESSION_KEY

MARK = "secret-of-a-test-"
"""How the values begin of a client's environment that tests count as secret."""

_TOKEN = re.compile(r"[A-Za-z0-9_%+/=-]{16,}")
_BEGINNING = 12
_SESSION_KEY = re.compile(r"ohs_v[0-9]+-[a-z2-7]{26}_(.+)")
_KEYS = frozenset({SECRET_KEY, SESSION_KEY})
"""Entries of a pod's Secret that are its own; the others are the environment that it begins with."""
_PUBLIC = frozenset(
    {"sha256", "previousSha256", "owner", "policy", "expires", "previousExpires", "tls.crt", "ca.crt", "namespace"}
)
"""Entries of Secrets that are none."""


def tokens(text: str) -> set[str]:
    """The words of a text that may hold a secret; those of 15 characters or fewer are left out."""
    return set(_TOKEN.findall(text))


def entries(secret: Mapping[str, Any]) -> dict[str, str]:
    """The secret entries of a Secret by `namespace/name:entry`, what is not text or shorter than a token left out.

    Of an environment, a client's or a pool's, those that begin with MARK, since the others may be anything. What Helm
    keeps of a release is its manifests, not a key.
    """
    metadata = secret["metadata"]
    if secret.get("type") == "helm.sh/release.v1":
        return {}
    found: dict[str, str] = {}
    data: dict[str, str] = secret.get("data") or {}
    for entry, value in data.items():
        text = base64.b64decode(value).decode(errors="replace").strip()
        of_environment = metadata["name"].endswith("-env") or (SECRET_KEY in data and entry not in _KEYS)
        ours = text.startswith(MARK) if of_environment else entry not in _PUBLIC
        if ours and tokens(text):
            found[f"{metadata['namespace']}/{metadata['name']}:{entry}"] = text
    return found


def forms(secret: str) -> set[str]:
    """The texts in any of which a secret is recognized: as it is, its MAC, in URLs, and base64 at each offset.

    Of one with several words (a certificate's key) these are the long ones.
    """
    raw = tokens(secret)
    if key := _SESSION_KEY.fullmatch(secret):
        raw.add(key[1])
    encoded = {part for text in raw for part in (quote(text, safe=""), *_base64(text.encode()))}
    return raw | encoded


def _base64(data: bytes) -> Iterable[str]:
    """As it stands in the base64 of any bytes around it, without the characters that depend on those."""
    for offset in range(3):
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            text = encode(bytes(offset) + data).decode()
            yield text[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]


class Needles:
    """Secrets by label, to be found in many texts at once."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._by_beginning: dict[str, dict[str, str]] = {}
        for label, secret in secrets.items():
            for form in forms(secret):
                self._by_beginning.setdefault(form[:_BEGINNING], {})[form] = label

    def find(self, words: Set[str]) -> set[str]:
        """Labels of the secrets that stand in one of these tokens."""
        found: set[str] = set()
        for word in words:
            for start in range(len(word) - _BEGINNING + 1):
                for form, label in self._by_beginning.get(word[start : start + _BEGINNING], {}).items():
                    if word.startswith(form, start):
                        found.add(label)
        return found

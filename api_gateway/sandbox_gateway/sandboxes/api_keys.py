"""The API keys in force, followed in the API server."""

import hmac
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sandbox_common.api_keys import ApiKey, Hash, Limits, decode, limits_by_owner
from sandbox_common.keys import api_key_hash
from sandbox_common.kube import Informer, KubeClient
from sandbox_common.kube.resources import SECRETS
from sandbox_crds.api import API_KEY_LABEL

_PREFIX = 16
"""Hex digits of a digest by which keys are looked up: 64 bits, so that hardly ever two keys have the same."""

type Index = Mapping[str, Sequence[tuple[Hash, ApiKey]]]


class ApiKeys:
    """The keys in force; changes take effect as the informer sees them."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._index: Index | None = None
        self.informer = Informer(
            client,
            SECRETS,
            namespace,
            decode,
            label_selector=f"{API_KEY_LABEL}=true",
            on_change=lambda _name, _key: self._outdate(),
        )

    def limits_of(self, owner: str) -> Limits:
        """What holds for all sandboxes of this owner."""
        return limits_by_owner(key for key in self.informer if key.owner == owner).get(owner, Limits())

    def find(self, api_key: str) -> ApiKey | None:
        """The key of this text, unless it is none or has expired. As fast with thousands of keys as with one."""
        if self._index is None:
            self._index = index(self.informer)
        return find(self._index, api_key, datetime.now(UTC))

    def _outdate(self) -> None:
        # Made anew at the next look-up, so that reading a long list costs no more than its last object.
        self._index = None


def index(keys: Iterable[ApiKey]) -> Index:
    """The hashes by the beginnings of their digests; those of one beginning in the order of the Secrets' names."""
    found: defaultdict[str, list[tuple[Hash, ApiKey]]] = defaultdict(list)
    for key in sorted(keys, key=lambda key: key.name):
        for hash_ in key.hashes:
            found[hash_.sha256[:_PREFIX]].append((hash_, key))
    return found


def find(known: Index, api_key: str, now: datetime) -> ApiKey | None:
    """The key of this text that is valid at `now`.

    How long this takes may tell something of the digest of the text, and whether a known one begins alike. That helps
    nobody: who guesses chooses the text, not its SHA-256, and a key has more bits than can be tried. The rest of the
    digest is compared in constant time.
    """
    digest = api_key_hash(api_key)
    for hash_, key in known.get(digest[:_PREFIX], ()):
        if hmac.compare_digest(hash_.sha256, digest) and hash_.valid_at(now):
            return key
    return None

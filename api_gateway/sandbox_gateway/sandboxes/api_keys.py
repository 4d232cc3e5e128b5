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
"""Hex digits of a digest by which keys are looked up: 64 bits, so two keys hardly ever share them."""

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
        """The limits of all sandboxes of this owner."""
        return limits_by_owner(key for key in self.informer if key.owner == owner).get(owner, Limits())

    def find(self, api_key: str) -> ApiKey | None:
        """The valid key with this text; None if there is none. As fast with thousands of keys as with one."""
        if self._index is None:
            self._index = index(self.informer)
        return find(self._index, api_key, datetime.now(UTC))

    def named(self, name: str) -> ApiKey | None:
        """The key whose Secret has this name, valid or not."""
        return self.informer.get(name)

    def _outdate(self) -> None:
        # The next look-up makes it again, so a long list costs this only once.
        self._index = None


def index(keys: Iterable[ApiKey]) -> Index:
    """The hashes by the beginnings of their digests; equal beginnings in the order of the Secrets' names."""
    found: defaultdict[str, list[tuple[Hash, ApiKey]]] = defaultdict(list)
    for key in sorted(keys, key=lambda key: key.name):
        for hash_ in key.hashes:
            found[hash_.sha256[:_PREFIX]].append((hash_, key))
    return found


def find(known: Index, api_key: str, now: datetime) -> ApiKey | None:
    """The key with this text that is valid at `now`.

    The time that this takes may reveal something about the digest of the text, and whether a known digest begins alike.
    That helps no attacker, who chooses the text and not its SHA-256; a key has too many bits to be guessed. The rest of
    the digest is compared in constant time.
    """
    digest = api_key_hash(api_key)
    for hash_, key in known.get(digest[:_PREFIX], ()):
        if hmac.compare_digest(hash_.sha256, digest) and hash_.valid_at(now):
            return key
    return None

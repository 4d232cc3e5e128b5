"""The API keys in force, followed in the API server."""

import hmac
from datetime import UTC, datetime

from sandbox_crds.api import API_KEY_LABEL
from sandbox_crds.api_keys import ApiKey, Limits, decode, limits_by_owner
from sandbox_crds.keys import api_key_hash
from sandbox_crds.kube import Informer, KubeClient
from sandbox_crds.kube.resources import SECRETS


class ApiKeys:
    """The keys in force; changes take effect as the informer sees them."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._informer = Informer(client, SECRETS, namespace, decode, label_selector=f"{API_KEY_LABEL}=true")

    @property
    def synced(self) -> bool:
        """Whether the first list has been read."""
        return self._informer.synced

    async def wait_synced(self) -> None:
        """Return once the first list has been read."""
        await self._informer.wait_synced()

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        await self._informer.run()

    def limits_of(self, owner: str) -> Limits:
        """What holds for all sandboxes of this owner."""
        return limits_by_owner(key for key in self._informer if key.owner == owner).get(owner, Limits())

    def find(self, api_key: str) -> ApiKey | None:
        """The key of this text, unless it is none or has expired. Takes the same time for all texts."""
        digest = api_key_hash(api_key)
        now = datetime.now(UTC)
        found = None
        for known in self._informer:
            for hash_ in known.hashes:
                if hmac.compare_digest(hash_.sha256, digest) and hash_.valid_at(now):
                    found = known
        return found
